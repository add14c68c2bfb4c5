// SPDX-License-Identifier: MPL-2.0
//! The folder with stylized pieces.
//!
//! A piece is two files: `00012-<start of its SHA-256>.gdp`, and the record `00012.json`, which is written last. Both
//! are renamed to these names when they are complete, so processes that stylize the same piece do not disturb each
//! other.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::files::{of_file, temporary_name, write_atomically};
use super::film_plan::FilmPlan;
use super::here::Here;
use super::one;
use crate::paint::progress::Show;

/// Record of a piece.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Identity of its plan, see [`FilmPlan::identity`].
    pub plan: String,
    pub piece: usize,
    /// Name of its data file in the same folder.
    pub file: PathBuf,
    pub bytes: u64,
    pub sha256: String,
    /// Number of frames.
    pub frames: u64,
    pub provider: String,
    pub precision: String,
    pub model: String,
    /// Time for stylizing it, with loading of the generator, s.
    pub seconds: f64,
}

/// The folder, for one plan.
pub struct Store {
    folder: PathBuf,
    identity: String,
}

impl Store {
    /// If the folder cannot be created.
    pub fn new(folder: &Path, plan: &FilmPlan) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self {
            folder: std::path::absolute(folder)?,
            identity: plan.identity()?,
        })
    }

    /// Path of a file of this piece.
    pub fn name(&self, piece: usize, extension: &str) -> PathBuf {
        self.folder.join(format!("{piece:05}.{extension}"))
    }

    /// The record of a piece, if its data file exists with the recorded SHA-256.
    ///
    /// # Errors
    /// If it belongs to another plan.
    pub fn complete(&self, piece: usize) -> Result<Option<Record>> {
        let Some(record) = self.record(piece)? else {
            return Ok(None);
        };
        let file = self.folder.join(&record.file);
        let same = of_file(&file).is_ok_and(|sum| sum == record.sha256);
        Ok(Some(record).filter(|_| same))
    }

    /// The record of a piece, if it is valid.
    fn record(&self, piece: usize) -> Result<Option<Record>> {
        let name = self.name(piece, "json");
        let Ok(text) = std::fs::read_to_string(&name) else {
            return Ok(None);
        };
        let record: Record =
            serde_json::from_str(&text).with_context(|| name.display().to_string())?;
        if record.plan != self.identity {
            bail!(
                "{} has pieces of another film or with other settings; give another folder, or remove it",
                self.folder.display()
            );
        }
        // A record may only name a file in the same folder.
        let plain = record.file.components().count() == 1 && record.file.file_name().is_some();
        Ok(Some(record).filter(|record| plain && record.piece == piece))
    }

    /// Stylizes a piece and stores it.
    ///
    /// # Errors
    /// If it cannot be stylized as planned; then no file is left.
    pub fn paint(&self, plan: &FilmPlan, here: &Here, piece: usize, show: Show) -> Result<Record> {
        let begin = std::time::Instant::now();
        let part = temporary_name(&self.name(piece, "gdp"));
        let painted = one::paint(here, plan.piece(piece)?, &part, show)
            .and_then(|painted| here.check(plan, &painted).map(|()| painted));
        let kept = painted.and_then(|painted| {
            File::open(&part)?.sync_all()?;
            let sum = of_file(&part)?;
            let file = PathBuf::from(format!("{piece:05}-{}.gdp", &sum[..16]));
            let bytes = part.metadata()?.len();
            std::fs::rename(&part, self.folder.join(&file))?;
            let record = Record {
                plan: self.identity.clone(),
                piece,
                file,
                bytes,
                sha256: sum,
                frames: painted.frames,
                provider: painted.provider,
                precision: painted.precision,
                model: painted.model,
                seconds: begin.elapsed().as_secs_f64(),
            };
            let text = serde_json::to_string(&record)?;
            write_atomically(&self.name(piece, "json"), text.as_bytes())?;
            Ok(record)
        });
        kept.inspect_err(|_| drop(std::fs::remove_file(&part)))
            .with_context(|| {
                format!(
                    "piece {piece} cannot be painted here as the plan says, by {} on {} in {}",
                    plan.generator.name, plan.provider, plan.precision
                )
            })
    }

    /// Creates a folder with links to the pieces, whose names are in their order. Also returns the total number of
    /// frames.
    ///
    /// # Errors
    /// If pieces are missing or damaged.
    pub fn in_order(&self, plan: &FilmPlan) -> Result<(Ordered, u64)> {
        let mut frames = 0;
        let mut missing = Vec::new();
        let ordered = Ordered(temporary_name(&self.folder.join("join")));
        let cannot = || format!("{} cannot be written", self.folder.display());
        let _ = std::fs::remove_dir_all(&ordered.0);
        std::fs::create_dir(&ordered.0).with_context(cannot)?;
        for piece in 0..plan.pieces.len() {
            match self.complete(piece)? {
                Some(record) => {
                    frames += record.frames;
                    let link = ordered.0.join(format!("{piece:05}.gdp"));
                    // A file without frames has no segment and cannot be concatenated.
                    if record.frames > 0 {
                        std::os::unix::fs::symlink(self.folder.join(&record.file), link)
                            .with_context(cannot)?;
                    }
                }
                None => missing.push(piece.to_string()),
            }
        }
        if !missing.is_empty() {
            let first = missing.iter().take(10).cloned().collect::<Vec<_>>();
            let more = if missing.len() > first.len() {
                " …"
            } else {
                ""
            };
            bail!(
                "{} of {} pieces are missing or damaged in {}: {}{more}; `stylize piece` makes them",
                missing.len(),
                plan.pieces.len(),
                self.folder.display(),
                first.join(", ")
            );
        }
        Ok((ordered, frames))
    }
}

/// A temporary folder with links to the pieces. Removed on drop.
pub struct Ordered(PathBuf);

impl Ordered {
    /// Pattern of its files for `splitfilesrc`.
    pub fn pattern(&self) -> PathBuf {
        self.0.join("*.gdp")
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
