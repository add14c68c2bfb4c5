// SPDX-License-Identifier: MPL-2.0
//! A camera: frames that come into being one after the other, each with the time at which it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::code::{self, Luma};
use super::film::{Film, launch};

pub struct Camera {
    pub pipeline: gst::Pipeline,
    film: Arc<Film>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The picture as a publisher sends it, with a tone, as most streams have one.
fn encoded(mux: &str) -> String {
    format!(
        "queue max-size-buffers=2 leaky=downstream \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=8000 key-int-max=30 \
         ! video/x-h264,profile=constrained-baseline ! h264parse ! mux. \
         audiotestsrc is-live=true wave=ticks ! audioconvert ! avenc_aac ! aacparse ! mux. {mux}"
    )
}

impl Camera {
    /// Sends to an RTMP server.
    pub fn rtmp(film: &Arc<Film>, uri: &str) -> Self {
        let sink = format!("flvmux name=mux streamable=true ! rtmp2sink sync=false location={uri}");
        Self::start(film, &encoded(&sink))
    }

    /// Sends by SRT.
    pub fn srt(film: &Arc<Film>, uri: &str) -> Self {
        let sink = format!(
            "mpegtsmux name=mux alignment=7 ! srtsink sync=false wait-for-connection=false uri=\"{uri}\""
        );
        Self::start(film, &encoded(&sink))
    }

    fn start(film: &Arc<Film>, line: &str) -> Self {
        let mut camera = Self::new(film, line);
        camera.play();
        camera
    }

    /// Into this pipeline, as `gst-launch-1.0` writes it.
    pub fn new(film: &Arc<Film>, line: &str) -> Self {
        let line = format!(
            "appsrc name=camera is-live=true format=time do-timestamp=true max-buffers=2 max-bytes=0 \
             leaky-type=downstream caps=\"{}\" ! {line}",
            film.info.to_caps().expect("caps")
        );
        Self {
            pipeline: launch(&line),
            film: film.clone(),
            stop: Arc::default(),
            thread: None,
        }
    }

    pub fn play(&mut self) {
        let input = self
            .pipeline
            .by_name("camera")
            .and_downcast::<gst_app::AppSrc>()
            .expect("an appsrc");
        self.pipeline.set_state(gst::State::Playing).expect("plays");
        let (film, stopped) = (self.film.clone(), self.stop.clone());
        self.thread = Some(std::thread::spawn(move || {
            let begin = Instant::now();
            for number in 0.. {
                let at = begin + Duration::from_secs(1) * number / film.fps();
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // Fails only while the pipeline stops.
                let _ = input.push_buffer(exposed(&film, number as usize));
            }
        }));
    }
}

/// A copy of the film's frame that says what time it is.
fn exposed(film: &Film, number: usize) -> gst::Buffer {
    let mut frame = film.frame(number).copy_deep().expect("a copy");
    let fresh = frame.get_mut().expect("fresh");
    fresh.unset_flags(gst::BufferFlags::all());
    fresh.set_pts(None);
    fresh.set_dts(None);
    fresh.set_duration(gst::ClockTime::SECOND / u64::from(film.fps()));
    let info = &film.info;
    let [width, height] = [info.width(), info.height()].map(|side| side as usize);
    let mut map = fresh.map_writable().expect("bytes");
    let stride = info.stride()[0] as usize;
    for plane in 1..3 {
        let lines = code::strip(height) / 2;
        let (start, stride) = (info.offset()[plane], info.stride()[plane] as usize);
        map[start..start + lines * stride].fill(128);
    }
    let mut luma = Luma {
        bytes: &mut map[..],
        stride,
        width,
        height,
    };
    code::draw(&mut luma, code::now());
    drop(map);
    frame
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said on its own what went wrong.
            let _ = thread.join();
        }
        // Fails only if an element refuses to stop; there is nothing to do about it then.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
