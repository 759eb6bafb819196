"""Monte Carlo dose for theradose by ompMC (GPL-3): kernel tables, a dose engine, validation. Research use only."""
