// SPDX-License-Identifier: MPL-2.0
//! Makes the plan of a film: resolves automatic settings on this machine, and computes where the film is cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use gst::prelude::*;

use super::files::FileRef;
use super::film_plan::{Encoding, FORMAT, FilmPlan, Generator, LOCAL, Piece};
use super::here::{built_in, of_generator};
use super::warm_up::{self, Changes};
use crate::paint::Args;
use crate::paint::film::Film;
use crate::paint::plan::{Plan, properties};
use crate::paint::source::{self, reader};
use crate::paint::watch::Watch;
use crate::shared::failure::usage;

/// Properties that name files, besides `model-file`.
const FILES: [&str; 4] = ["playlist", "style-image", "style-predictor", "mask-file"];
/// Properties that depend on the state of a whole run: name, values that are allowed in pieces, and the reason.
const REFUSED: [(&str, &[&str], &str); 4] = [
    ("adapt", &["off", "0"], "it follows a machine's speed"),
    (
        "interval",
        &["1", "0"],
        "a piece does not know which frame the last painted one was",
    ),
    (
        "while-loading",
        &["block", "0"],
        "every piece begins with loading",
    ),
    (
        "on-error",
        &["fail", "0"],
        "a machine that cannot paint has to say so",
    ),
];
/// Assumed frame rate in 1/s if it is unknown: low, so that warm-up is long enough.
const SLOWEST: f64 = 12.0;
const SECOND: f64 = 1e9;

/// Length of pieces.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// This many pieces of equal length.
    Count(u32),
    /// Seconds of each piece.
    Seconds(f64),
}

/// Makes the plan of a film from arguments and their settings `plan`.
///
/// # Errors
/// If the input is not a local file of known duration, or a property cannot be used in pieces.
pub fn make(
    args: &Args,
    plan: &Plan,
    film: &Film,
    length: Length,
    key_frames: bool,
) -> Result<FilmPlan> {
    let mut settings: BTreeMap<String, String> = properties(args)?
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect();
    for (name, harmless, why) in REFUSED {
        if let Some(value) = settings
            .get(name)
            .filter(|value| !harmless.contains(&value.as_str()))
        {
            return Err(usage(format!(
                "{name}={value} does not go with pieces: {why}"
            )));
        }
    }
    let here = resolve(plan, film)?;
    let file = settings.remove("model-file");
    for name in LOCAL
        .iter()
        .chain(&["quality", "precision", "execution-provider"])
    {
        settings.remove(*name);
    }
    let mut files = BTreeMap::new();
    for name in FILES {
        if let Some(path) = settings.remove(name).filter(|path| !path.is_empty()) {
            files.insert(
                name.to_string(),
                FileRef::new(Path::new(&path)).context(name)?,
            );
        }
    }
    let generator = match file {
        // The element resolves names without a path.
        Some(_) => Generator {
            sha256: of_generator(Path::new(&here.model))?,
            file: Some(std::path::absolute(&here.model)?),
            name: here.model,
        },
        None => Generator {
            sha256: built_in(&here.model)?.1,
            file: None,
            name: here.model,
        },
    };
    let input = local(&film.uri)?;
    let duration = source::duration(&film.uri)?.nseconds();
    let pieces = Cutter {
        duration,
        rate: rate(film),
        key_frames: match key_frames {
            true => Some(find_key_frames(film)?),
            false => None,
        },
    };
    Ok(FilmPlan {
        format: FORMAT.into(),
        program: env!("CARGO_PKG_VERSION").into(),
        input: FileRef::new(&input)?,
        container: plan.container.extension.into(),
        generator,
        provider: here.provider,
        precision: here.precision,
        encoder: Encoding {
            element: plan.encoder.element().into(),
            crf: args.crf,
            bitrate: args.bitrate,
            threads: args.encoder_threads.unwrap_or(1),
        },
        hdr: args
            .hdr
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().into()),
        pieces: pieces.pieces(length, &settings, &files)?,
        properties: settings,
        files,
    })
}

/// Path of a URI of a local file.
fn local(uri: &str) -> Result<PathBuf> {
    let path = gst::glib::filename_from_uri(uri).ok();
    let path = path.filter(|(_, host)| host.is_none());
    Ok(path
        .with_context(|| {
            format!("{uri} is no file of this machine; pieces are made of files only")
        })?
        .0)
}

/// Frame rate in 1/s, if it is constant.
fn rate(film: &Film) -> Option<f64> {
    let fps = film.video.info.fps();
    (fps.numer() > 0 && fps.denom() > 0).then(|| f64::from(fps.numer()) / f64::from(fps.denom()))
}

/// Values that `auto` has on this machine.
struct Resolved {
    provider: String,
    precision: String,
    model: String,
}

/// Stylizes one frame of the film's size, and reads the resolved values from `stats`.
fn resolve(plan: &Plan, film: &Film) -> Result<Resolved> {
    let info = &film.video.info;
    let line = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=RGB,width={},height={},framerate=25/1 ! {} ! fakesink",
        info.width(),
        info.height(),
        plan.stylize
    );
    let pipeline = gst::parse::launch(&line)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("no pipeline"))?;
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let started = pipeline.set_state(gst::State::Playing);
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(600),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    let stats = crate::paint::progress::stats(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => (),
        Some(gst::MessageView::Error(error)) => bail!("{}", error.error().message()),
        _ => {
            started?;
            bail!("the generator did not paint a frame within ten minutes")
        }
    }
    let stats = stats.context("nothing was stylized")?;
    let text = |name| {
        stats
            .get::<String>(name)
            .map_err(|_| anyhow!("no {name} is known"))
    };
    Ok(Resolved {
        provider: text("provider")?,
        precision: text("precision")?,
        model: text("model")?,
    })
}

/// Computes the cuts of a film. Times are in nanoseconds.
struct Cutter {
    duration: u64,
    rate: Option<f64>,
    /// Allowed cuts, if they are limited to key frames.
    key_frames: Option<Vec<u64>>,
}

impl Cutter {
    /// The pieces with their warm-up.
    fn pieces(
        &self,
        length: Length,
        properties: &BTreeMap<String, String>,
        files: &BTreeMap<String, FileRef>,
    ) -> Result<Vec<Piece>> {
        let number = |name: &str| {
            properties
                .get(name)
                .and_then(|value| value.parse::<f64>().ok())
        };
        let frames = warm_up::frames(number("stability").unwrap_or(0.0))?;
        let past = frames as f64 / self.rate.unwrap_or(SLOWEST) * SECOND;
        let changes = match files.get("playlist") {
            Some(file) => {
                let text = std::fs::read_to_string(&file.path)?;
                // The default of the property is 0.5 s.
                let transition = number("transition").unwrap_or(0.5 * SECOND);
                Changes::new(&text, transition as u64, self.duration)
                    .with_context(|| file.path.display().to_string())?
            }
            None => Changes::default(),
        };
        let cuts = self.cuts(length);
        let ends = cuts.iter().skip(1).map(|end| Some(*end)).chain([None]);
        let pieces = cuts.iter().zip(ends).map(|(start, stop)| Piece {
            begin: changes.settled(start.saturating_sub(past as u64)),
            start: *start,
            stop,
            frames: self.rate.map(|rate| {
                let span = stop.unwrap_or(self.duration).saturating_sub(*start);
                (span as f64 / SECOND * rate).round() as u64
            }),
        });
        Ok(pieces.collect())
    }

    /// Starts of the pieces, ascending from 0.
    fn cuts(&self, length: Length) -> Vec<u64> {
        let count = match length {
            Length::Count(count) => f64::from(count),
            Length::Seconds(seconds) => (self.duration as f64 / SECOND / seconds).ceil(),
        };
        let count = count.clamp(1.0, 99_999.0);
        let span = match length {
            Length::Seconds(seconds) => seconds * SECOND,
            Length::Count(_) => self.duration as f64 / count,
        };
        let wanted = (1..count as u64).map(|i| (span * i as f64) as u64);
        let mut cuts: Vec<u64> = wanted.filter_map(|at| self.nearby(at)).collect();
        cuts.push(0);
        cuts.sort_unstable();
        cuts.dedup();
        // None after the last frame.
        let half = (SECOND / self.rate.unwrap_or(1e6) / 2.0) as u64;
        cuts.retain(|at| *at == 0 || *at + half < self.duration);
        cuts
    }

    /// A cut near this time. Half a frame before the first frame of the piece, so that rounding of timestamps does not
    /// matter.
    fn nearby(&self, at: u64) -> Option<u64> {
        let frame = SECOND / self.rate.unwrap_or(1e6);
        let Some(key_frames) = &self.key_frames else {
            let index = (at as f64 / frame).round();
            return Some(((index - 0.5).max(0.0) * frame) as u64).filter(|at| *at > 0);
        };
        let next = key_frames.partition_point(|key| *key < at);
        let key = key_frames.get(next)?;
        Some(key.saturating_sub((frame / 2.0) as u64))
    }
}

/// Times of the film's key frames, ascending.
fn find_key_frames(film: &Film) -> Result<Vec<u64>> {
    let pipeline = gst::Pipeline::new();
    let sink = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .build()?;
    pipeline.add(&sink)?;
    let into = sink.static_pad("sink").context("no pad")?;
    let keys = Arc::new(Mutex::new(Vec::new()));
    let found = keys.clone();
    into.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer()
            && !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
            && let Some(at) = super::one::stream_time(pad, buffer.pts())
        {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.push(at.nseconds());
        }
        gst::PadProbeReturn::Ok
    });
    let watch = Watch::default();
    reader(&pipeline, film, &film.video.stream.id, &into, &watch)?;
    let result = crate::paint::play::wait(
        &pipeline,
        &watch,
        crate::paint::progress::Show::Nothing,
        || Ok(()),
    );
    pipeline.set_state(gst::State::Null)?;
    result?;
    let mut keys = std::mem::take(&mut *keys.lock().unwrap_or_else(PoisonError::into_inner));
    keys.sort_unstable();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cutter(rate: Option<f64>, key_frames: Option<Vec<u64>>) -> Cutter {
        Cutter {
            duration: 10_000_000_000,
            rate,
            key_frames,
        }
    }

    #[test]
    fn cuts_are_between_frames() {
        let cuts = cutter(Some(25.0), None).cuts(Length::Count(4));
        assert_eq!(cuts, [0, 2_500_000_000, 4_980_000_000, 7_500_000_000]);
        let cuts = cutter(Some(25.0), None).cuts(Length::Seconds(4.0));
        assert_eq!(cuts, [0, 3_980_000_000, 7_980_000_000]);
        assert_eq!(cutter(None, None).cuts(Length::Count(2)).len(), 2);
        // At most as many pieces as frames.
        assert_eq!(cutter(Some(1.0), None).cuts(Length::Count(999)).len(), 10);
    }

    #[test]
    fn cuts_at_key_frames_are_before_key_frames() {
        let keys = vec![0, 2_000_000_000, 8_000_000_000];
        let cuts = cutter(Some(25.0), Some(keys)).cuts(Length::Count(4));
        assert_eq!(cuts, [0, 7_980_000_000]);
    }

    #[test]
    fn pieces_follow_each_other_and_begin_early_enough() {
        let properties = BTreeMap::from([("stability".to_string(), "0.8".to_string())]);
        let pieces = cutter(Some(25.0), None)
            .pieces(Length::Count(3), &properties, &BTreeMap::new())
            .expect("pieces");
        assert_eq!(pieces.len(), 3);
        assert_eq!(
            (pieces[0].begin, pieces[0].start, pieces[2].stop),
            (0, 0, None)
        );
        for (one, next) in pieces.iter().zip(&pieces[1..]) {
            assert_eq!(one.stop, Some(next.start));
            assert!(next.start - next.begin > 2_000_000_000, "{next:?}");
        }
        let frames: u64 = pieces.iter().filter_map(|piece| piece.frames).sum();
        assert!(frames.abs_diff(250) <= 2, "{frames}");
    }
}
