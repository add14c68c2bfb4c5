// SPDX-License-Identifier: MPL-2.0
//! MJPEG over HTTP (`multipart/x-mixed-replace`) for clients without WebRTC: every browser shows it in an `<img>`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use gst::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, watch};

const BOUNDARY: &str = "frame";

/// The MJPEG stream and its viewers.
pub struct Mjpeg {
    /// The latest frame. A slow client skips frames, and blocks no other.
    frame: watch::Sender<Bytes>,
    gate: Arc<Gate>,
}

/// Opens the valve before the JPEG encoder while there are viewers.
struct Gate {
    valve: gst::Element,
    viewers: AtomicUsize,
}

/// A viewer; dropped when it is gone.
struct Viewer(Arc<Gate>);

impl Viewer {
    fn take(gate: &Arc<Gate>) -> Self {
        if gate.viewers.fetch_add(1, Ordering::SeqCst) == 0 {
            gate.valve.set_property("drop", false);
        }
        Self(gate.clone())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.0.viewers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.valve.set_property("drop", true);
        }
    }
}

impl Mjpeg {
    pub fn new(valve: gst::Element, sink: &gst_app::AppSink) -> Self {
        let (frame, _) = watch::channel(Bytes::new());
        let sender = frame.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let map = sample
                .buffer()
                .and_then(|buffer| buffer.map_readable().ok());
            if let Some(jpeg) = map {
                sender.send_replace(part(&jpeg));
            }
            Ok(gst::FlowSuccess::Ok)
        });
        sink.set_callbacks(callbacks.build());
        let gate = Gate {
            valve,
            viewers: AtomicUsize::new(0),
        };
        Self {
            frame,
            gate: Arc::new(gate),
        }
    }

    /// Number of viewers.
    pub fn viewers(&self) -> usize {
        self.gate.viewers.load(Ordering::SeqCst)
    }

    /// A response without end; `permit` is held until the connection is closed.
    pub fn stream(&self, permit: OwnedSemaphorePermit) -> Response {
        let seat = (Viewer::take(&self.gate), permit);
        let frames = self.frame.subscribe();
        let body = futures_util::stream::unfold((seat, frames), |(seat, mut frames)| async move {
            frames.changed().await.ok()?;
            let frame = frames.borrow_and_update().clone();
            Some((Ok::<_, std::convert::Infallible>(frame), (seat, frames)))
        });
        let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
        let headers = [
            (header::CONTENT_TYPE, kind.as_str()),
            (header::CACHE_CONTROL, "no-store"),
        ];
        (headers, Body::from_stream(body)).into_response()
    }
}

/// A part of the multipart body.
fn part(jpeg: &[u8]) -> Bytes {
    let mut part = format!(
        "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        jpeg.len()
    )
    .into_bytes();
    part.extend_from_slice(jpeg);
    part.extend_from_slice(b"\r\n");
    part.into()
}
