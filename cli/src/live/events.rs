// SPDX-License-Identifier: MPL-2.0
//! Events on a WebSocket: state and statistics once a second and after every change. Also the statistics themselves.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use gst::prelude::*;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::error::ApiError;
use super::meter::milliseconds;

/// Interval of events without changes.
const EVERY: Duration = Duration::from_secs(1);
/// Largest write buffer of a connection, bytes: a few events.
const LARGEST: usize = 1 << 20;
/// Changes within this time are sent as one event.
const REST: Duration = Duration::from_millis(20);

impl App {
    /// The statistics of `/api/stats` and of events.
    pub fn stats(&self) -> Value {
        let stats = self.output.stylize.property::<gst::Structure>("stats");
        let number = |name: &str| stats.get::<u64>(name).unwrap_or_default();
        let small = |name: &str| stats.get::<u32>(name).unwrap_or_default();
        let text = |name: &str| stats.get::<String>(name).unwrap_or_default();
        let time = |name: &str| milliseconds(Duration::from_nanos(number(name)));
        let (painted, ready) = (self.output.painted.read(), self.output.ready.read());
        json!({
            "fps": ready.fps,
            "frames": number("frames"),
            "repeated": number("held"),
            "failed": number("failed"),
            "painting_ms": { "median": time("time-median"), "p95": time("time-p95") },
            "latency_ms": { "painted": painted.age_ms, "encoded": ready.age_ms },
            "longest_gap_ms": milliseconds(Duration::from_secs_f64(ready.longest_gap_ms / 1e3)),
            "provider": text("provider"),
            "precision": text("precision"),
            "model": text("model"),
            "width": small("frame-width"),
            "height": small("frame-height"),
            "viewers": {
                "webrtc": self.viewers.count(),
                "mjpeg": self.mjpeg.viewers(),
                "hls": self.hls.viewers(),
            },
            "source": self.source.status(),
        })
    }
}

/// `GET /api/events`
pub async fn events(
    State(app): State<Arc<App>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|err| {
        let text = format!("{err}; open /api/events as a WebSocket");
        ApiError::new(StatusCode::BAD_REQUEST, text)
    })?;
    // The server's limit does not count upgraded connections.
    let place = app.listeners.clone().try_acquire_owned().map_err(|_| {
        let text = "too many listen to events already; ask /api/stats instead";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    // Clients send no messages, so small ones are enough.
    Ok(upgrade
        .max_message_size(1024)
        .max_write_buffer_size(LARGEST)
        .on_upgrade(move |socket| send_events(app, socket, place)))
}

/// Sends events until the client closes the connection. The permit is held until then.
async fn send_events(app: Arc<App>, mut socket: WebSocket, _place: OwnedSemaphorePermit) {
    let mut changed = app.changed.subscribe();
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => (),
            result = changed.changed() => {
                if result.is_err() {
                    return;
                }
                tokio::time::sleep(REST).await;
                changed.mark_unchanged();
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        }
        let event = json!({ "state": app.state(), "stats": app.stats() });
        if socket.send(event.to_string().into()).await.is_err() {
            return;
        }
    }
}
