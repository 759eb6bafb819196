"""Which scores a table of an experiment shows, in which words, and which way is better."""

METRIC_NAMES = {
    "mape": "MAPE", "mae": "MAE", "rmse": "RMSE", "bias": "Mean error", "r2": "R²", "ccc": "Concordance",
    "coverage": "Coverage", "log_width": "Log width", "ssim": "SSIM", "ssim_masked": "SSIM in the body",
    "zero_map_ssim": "SSIM of a zero map", "masked_mae": "MAE in the body", "hot_voxel_mae_percent": "MAE, hottest 5 %",
    "sum_bias_percent": "Error of the sum", "gamma_2d_pass_percent": "Gamma in the slice",
    "gamma_3d_pass_percent": "Gamma in the volume", "hot_d2_percent": "D2 of the hot part",
    "bias_percent": "Geometric bias", "agreement_low_percent": "Agreement from", "agreement_high_percent": "to",
    "mape_lu177": "MAPE, Lu-177", "mape_y90": "MAPE, Y-90", "mape_i131": "MAPE, I-131",
    "mape_naive_y90": "MAPE, Y-90 from the TIAC alone", "mape_t_eff": "MAPE of T_eff",
    "auc": "AUC", "brier": "Brier score", "log_loss": "Log loss",
    "calibration_slope": "Calibration slope", "events": "Events", "rmse_log": "RMSE of log months",
    "c_index": "C-index", "ipcw_brier": "Integrated Brier score", "ipcw_brier_12m": "Brier score, 12 months",
    "ipcw_brier_24m": "Brier score, 24 months", "rmse_limit": "RMSE that chance alone leaves",
}  # fmt: skip
HIGHER_IS_BETTER = {
    "r2", "ccc", "ssim", "ssim_masked", "auc", "c_index", "gamma_2d_pass_percent", "gamma_3d_pass_percent",
}  # fmt: skip
CLOSER_TO_ZERO = {"bias", "bias_percent", "sum_bias_percent", "hot_d2_percent"}
NOT_RANKED = {"coverage", "log_width", "zero_map_ssim", "events", "calibration_slope", "rmse_limit"}
EVENT_SCORES = ("log_loss", "auc", "brier", "calibration_slope", "events")
COLUMNS = {
    "organ_dose": ("mape", "rmse", "bias_percent", "ccc", "coverage", "log_width"),
    "dose_map": (
        "rmse", "hot_voxel_mae_percent", "hot_d2_percent", "sum_bias_percent", "gamma_2d_pass_percent",
        "gamma_3d_pass_percent", "ssim_masked", "ssim", "zero_map_ssim",
    ),
    "multitask": ("mape", "bias", "coverage", *EVENT_SCORES),
    "outcome": EVENT_SCORES,
    "tiac": (
        "mape", "mape_lu177", "mape_y90", "mape_i131", "mape_naive_y90", "mape_t_eff", "bias_percent", "coverage",
        "log_width",
    ),
    "latency": ("ipcw_brier", "ipcw_brier_12m", "ipcw_brier_24m", "c_index", "rmse_log"),
    "renal_slope": ("rmse", "rmse_limit", "mae", "bias", "r2", "ccc", "coverage"),
}  # fmt: skip
