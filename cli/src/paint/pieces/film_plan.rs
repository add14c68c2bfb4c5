// SPDX-License-Identifier: MPL-2.0
//! The plan of a film in pieces, a JSON document with everything that determines the output, so that every machine that
//! follows it produces the same.
//!
//! Files are identified by their content (SHA-256); their paths are hints. The generator, its provider and its
//! precision are given; no value is `auto`. Settings of a single machine (device, threads, ONNX Runtime's library) are
//! not in it. Times are nanoseconds of the film.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::files::{FileRef, sha256};
use crate::shared::failure::usage;

/// Value of the field `format`.
pub const FORMAT: &str = "stylize-plan-1";
/// Largest document, bytes, because it is read into memory.
const LARGEST: u64 = 64 << 20;
/// Properties that each machine sets for itself. Some name files that are loaded or written, so they are never taken
/// from a document.
pub const LOCAL: [&str; 9] = [
    "device",
    "threads",
    "runtime-library",
    "provider-library",
    "provider-options",
    "model-cache-dir",
    "frames-in-flight",
    "dump-graph",
    "qos",
];

/// The document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FilmPlan {
    /// [`FORMAT`].
    pub format: String,
    /// Version of the program that wrote it, because the encoders' settings depend on it.
    pub program: String,
    pub input: FileRef,
    /// Extension of the output.
    pub container: String,
    pub generator: Generator,
    /// Value of `execution-provider`; never `auto`.
    pub provider: String,
    /// Value of `precision`; never `auto`.
    pub precision: String,
    pub encoder: Encoding,
    /// Treatment of HDR video: `tone-map` or `refuse`.
    pub hdr: String,
    /// Other properties of the element that have been set.
    pub properties: BTreeMap<String, String>,
    /// Files by the property that names them.
    pub files: BTreeMap<String, FileRef>,
    pub pieces: Vec<Piece>,
}

/// The generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Generator {
    /// Name of a built-in generator, or of the file.
    pub name: String,
    /// SHA-256 of the model with its weights and its sidecar.
    pub sha256: String,
    /// Path when the plan was made; `None`: a built-in generator.
    pub file: Option<PathBuf>,
}

/// Settings of the encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Encoding {
    /// Name of the element.
    pub element: String,
    pub crf: Option<u32>,
    /// kbit/s.
    pub bitrate: Option<u32>,
    /// Number of threads, for encoders whose output depends on it.
    pub threads: u32,
}

/// A piece: the frames from `start` to `stop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Piece {
    /// Time from which frames are stylized, before `start` if the frames of the piece depend on earlier ones.
    pub begin: u64,
    /// Time of the first frame in the piece.
    pub start: u64,
    /// End, exclusive; `None`: the end of the film.
    pub stop: Option<u64>,
    /// Expected number of frames, if the film has a constant rate.
    pub frames: Option<u64>,
}

impl FilmPlan {
    /// Reads a document.
    ///
    /// # Errors
    /// If it is not a valid plan, or was written by another version of the program.
    pub fn read(file: &Path) -> Result<Self> {
        let name = || file.display().to_string();
        let size = file.metadata().with_context(name)?.len();
        if size > LARGEST {
            bail!("{}: {size} bytes are too many for a plan", name());
        }
        let text = std::fs::read_to_string(file).with_context(name)?;
        let plan: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no plan that `stylize plan` wrote", name()))?;
        plan.check().with_context(name)?;
        Ok(plan)
    }

    /// Checks format, version, properties and the order of pieces.
    fn check(&self) -> Result<()> {
        if self.format != FORMAT {
            bail!("its format is {}, not {FORMAT}", self.format);
        }
        if self.program != env!("CARGO_PKG_VERSION") {
            bail!(
                "it was made by stylize {}, and this is {}; all machines need the same version",
                self.program,
                env!("CARGO_PKG_VERSION")
            );
        }
        if let Some(name) = LOCAL
            .iter()
            .find(|name| self.properties.contains_key(**name))
        {
            bail!("{name} is not for a plan: each machine sets it for itself");
        }
        let mut at = 0;
        for (i, piece) in self.pieces.iter().enumerate() {
            let last = i + 1 == self.pieces.len();
            let follows = piece.start == at && piece.begin <= piece.start;
            let ends = match piece.stop {
                Some(stop) => !last && stop > piece.start,
                None => last,
            };
            if !follows || !ends {
                bail!("piece {i} does not follow the one before");
            }
            at = piece.stop.unwrap_or(at);
        }
        if self.pieces.is_empty() {
            bail!("it has no pieces");
        }
        Ok(())
    }

    /// SHA-256 of everything that determines the film, without the paths of files: equal for plans with the same
    /// output.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn identity(&self) -> Result<String> {
        let mut plan = self.clone();
        plan.input.path = PathBuf::new();
        plan.generator.file = plan.generator.file.map(|_| PathBuf::new());
        if plan.generator.file.is_some() {
            plan.generator.name = String::new();
        }
        for file in plan.files.values_mut() {
            file.path = PathBuf::new();
        }
        Ok(sha256(serde_json::to_string(&plan)?.as_bytes()))
    }

    /// The document's text.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// A piece by its number from 0.
    ///
    /// # Errors
    /// A usage error if there is no such piece.
    pub fn piece(&self, index: usize) -> Result<&Piece> {
        self.pieces.get(index).ok_or_else(|| {
            usage(format!(
                "there is no piece {index}; the plan has 0 to {}",
                self.pieces.len() - 1
            ))
        })
    }
}

impl Piece {
    /// `begin`, `start` and `stop`.
    pub fn times(&self) -> (gst::ClockTime, gst::ClockTime, Option<gst::ClockTime>) {
        let time = gst::ClockTime::from_nseconds;
        (time(self.begin), time(self.start), self.stop.map(time))
    }
}

/// Result of a piece.
pub struct Painted {
    /// Number of frames in the file.
    pub frames: u64,
    pub provider: String,
    pub precision: String,
    pub model: String,
}
