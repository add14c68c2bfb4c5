// SPDX-License-Identifier: MPL-2.0
//! The plan of a film in pieces, as a JSON document: all that decides what comes out, so that every machine
//! that keeps to it paints the same.
//!
//! It names files by their content (SHA-256) and says where they were when it was made. It says which generator
//! paints, at which provider and in which precision; nothing in it is "automatic". What belongs to one machine
//! only (device, threads, ONNX Runtime's library) is not in it. Times are nanoseconds of the film.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::files::{FileRef, sha256};
use crate::shared::failure::usage;

/// What the document says it is.
pub const FORMAT: &str = "stylize-plan-1";
/// A plan is read into memory.
const LARGEST: u64 = 64 << 20;
/// Properties that are set by each machine for itself. Some name files that are loaded or written, so they are
/// never taken from a document.
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
    /// Version of the program that made it: settings of encoders are the program's.
    pub program: String,
    pub input: FileRef,
    /// Extension of the output.
    pub container: String,
    pub generator: Generator,
    /// Execution provider, as the property has it; never `auto`.
    pub provider: String,
    /// As the property has it; never `auto`.
    pub precision: String,
    pub encoder: Encoding,
    /// What becomes of HDR video: `tone-map` or `refuse`.
    pub hdr: String,
    /// All other properties of the element that are not at their defaults.
    pub properties: BTreeMap<String, String>,
    /// Files that properties name.
    pub files: BTreeMap<String, FileRef>,
    pub pieces: Vec<Piece>,
}

/// What paints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Generator {
    /// That of a built-in one, or a file's name.
    pub name: String,
    /// Of the model with its weights and its sidecar.
    pub sha256: String,
    /// `None`: it is built in.
    pub file: Option<PathBuf>,
}

/// How frames are encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Encoding {
    /// The encoder's element.
    pub element: String,
    pub crf: Option<u32>,
    /// Kilobits a second.
    pub bitrate: Option<u32>,
    /// Of an encoder whose output depends on it.
    pub threads: u32,
}

/// Frames from one time to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Piece {
    /// From here on frames are painted, so that those which are kept have the past they need.
    pub begin: u64,
    /// From here on they are kept.
    pub start: u64,
    /// Before this; `None`: to the end.
    pub stop: Option<u64>,
    /// About how many are kept, where the film has a rate.
    pub frames: Option<u64>,
}

impl FilmPlan {
    /// Reads a document.
    ///
    /// # Errors
    /// If it is no plan, or one of another version of the program.
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

    /// What two plans have in common that lead to the same film, wherever their files are: a SHA-256.
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

    /// As it is written.
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
    /// The three times.
    pub fn times(&self) -> (gst::ClockTime, gst::ClockTime, Option<gst::ClockTime>) {
        let time = gst::ClockTime::from_nseconds;
        (time(self.begin), time(self.start), self.stop.map(time))
    }
}
