"""Numbers from images and clinics: radiomics and covariates."""
