// SPDX-License-Identifier: MPL-2.0
//! Places of viewers: permits, `--max-viewers` in all.

use axum::http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::error::ApiError;

/// A permit to watch, held for as long as the viewer watches.
///
/// # Errors
/// 503 if there are `--max-viewers` already.
pub fn seat(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    let seat = app.seats.clone().try_acquire_owned();
    seat.map_err(|_| full(app))
}

/// Whether another viewer could watch.
///
/// # Errors
/// 503 if there are `--max-viewers` already.
pub fn room(app: &App) -> Result<(), ApiError> {
    match app.seats.available_permits() {
        0 => Err(full(app)),
        _ => Ok(()),
    }
}

fn full(app: &App) -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "{} are watching already; start the server with a larger --max-viewers",
            app.max_viewers
        ),
    )
}
