// SPDX-License-Identifier: MPL-2.0
//! A film in pieces: a plan has the settings and cuts, each piece is stylized by itself, on any machine and in any
//! order, and kept until all exist; then they are joined.
//!
//! `film_plan` is the document, `make` writes it, `here` applies it to a machine, `one` stylizes a piece, `store` keeps
//! pieces, `warm_up` computes how early a piece begins, and `commands` has `plan`,
//! `piece` and `join`. This module has `--segments`, which does all three in one process, or in several that share the
//! work.
//!
//! Sound and subtitles are copied from the input when the pieces are joined, so they have no seams.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::film::Film;
use super::plan::Plan;
use super::play::mux;
use super::progress::Show;
use super::{Args, complete, encode};
use crate::shared::output::{lock_file, with_suffix};

mod commands;
mod files;
mod film_plan;
mod here;
mod make;
mod one;
mod store;
mod warm_up;

pub use commands::{JoinArgs, PieceArgs, PlanArgs, join, piece, plan};

use film_plan::FilmPlan;
use here::{Here, Machine};
use make::{Length, make};
use store::Store;

/// The folder of `--segments`, its plan and its pieces.
struct Pieces {
    folder: PathBuf,
    plan: FilmPlan,
    store: Store,
}

/// Stylizes the missing pieces and joins all. Returns a summary, or `None` if another process has joined them.
///
/// # Errors
/// If the film cannot be stylized in pieces, or the folder has pieces of another film.
pub fn film(args: &Args, film: &Film, part: &Path) -> Result<Option<String>> {
    let (args, plan) = fixed(args)?;
    let film_plan = make(&args, &plan, film, Length::Count(args.segments), false)?;
    let folder = with_suffix(&args.output, ".pieces");
    let pieces = Pieces::prepare(folder, film_plan, args.force)?;
    let here = Here::new(&pieces.plan, &Machine::of(&args))?;
    let begin = Instant::now();
    let count = pieces.plan.pieces.len();
    let (mut frames, mut there, mut elsewhere) = (0, 0, 0);
    // First the pieces that no process has locked; then those of other processes (`patient`), in case they fail.
    for patient in [false, true] {
        for i in 0..count {
            if pieces.store.complete(i)?.is_some() {
                there += u32::from(!patient);
                continue;
            }
            let lock = File::create(pieces.store.name(i, "lock"));
            let lock = match lock {
                // Another process has joined the pieces and removed the folder.
                Err(_) if !pieces.plan_file().exists() => return Ok(None),
                lock => {
                    lock.with_context(|| format!("{} cannot be written", pieces.folder.display()))?
                }
            };
            if patient {
                lock.lock()?;
            } else if lock.try_lock().is_err() {
                continue;
            }
            if !pieces.plan_file().exists() {
                return Ok(None);
            }
            if pieces.store.complete(i)?.is_some() {
                elsewhere += 1;
                continue;
            }
            if args.show() == Show::Bar {
                eprintln!("piece {} of {count}", i + 1);
            }
            frames += pieces
                .store
                .paint(&pieces.plan, &here, i, args.show())?
                .frames;
        }
    }
    let lock = File::create(pieces.folder.join("join.lock"));
    let Some(_lock) = lock.ok().filter(|lock| lock.lock().is_ok()) else {
        return Ok(None);
    };
    if !pieces.plan_file().exists() {
        return Ok(None);
    }
    let Some(_part) = lock_file(part)? else {
        return Ok(None);
    };
    let (mut notes, _) = assemble(&pieces.store, &pieces.plan, &here, &args.output, part)?;
    notes.splice(0..0, plan.video(&film.video)?.1);
    notes.extend(of_device(&plan));
    std::fs::remove_dir_all(&pieces.folder)?;
    let notes = notes.iter().map(|note| format!("note: {note}\n"));
    Ok(Some(format!(
        "{}{frames} frames in {:.1} s; of {count} pieces {there} were there, {elsewhere} came from elsewhere",
        notes.collect::<String>(),
        begin.elapsed().as_secs_f64(),
    )))
}

/// Arguments and settings without defaults that depend on the machine.
fn fixed(args: &Args) -> Result<(Args, Plan)> {
    let threads = match encode::threads() {
        // More threads gain little.
        0 => encode::cores().min(16) as u32,
        threads => threads,
    };
    let args = Args {
        encoder_threads: args.encoder_threads.or(Some(threads)),
        portable: true,
        ..args.clone()
    };
    let plan = Plan::new(&args)?;
    Ok((args, plan))
}

/// A note for the user if the encoder is hardware.
fn of_device(plan: &Plan) -> Option<String> {
    let element = plan.encoder.element();
    (!plan.encoder.is_reproducible()).then(|| {
        format!("{element} is a device's: pieces fit together only from machines with the same device and driver")
    })
}

/// Joins the pieces with the other streams of the input. Returns notes for the user and the number of frames.
fn assemble(
    store: &Store,
    film_plan: &FilmPlan,
    here: &Here,
    output: &Path,
    part: &Path,
) -> Result<(Vec<String>, u64)> {
    let (ordered, frames) = store.in_order(film_plan)?;
    if frames == 0 {
        bail!("no piece has frames");
    }
    let mut plan = here.plan.clone();
    plan.pieces = Some(ordered.pattern());
    let played = complete(part, output, || mux(Show::Nothing, &plan, &here.film, part))?;
    Ok((played.notes, frames))
}

impl Pieces {
    fn plan_file(&self) -> PathBuf {
        self.folder.join("plan.json")
    }

    /// Creates the folder, or checks that its plan has the same identity.
    ///
    /// # Errors
    /// If it belongs to another film and `force` is not set.
    fn prepare(folder: PathBuf, plan: FilmPlan, force: bool) -> Result<Self> {
        let file = folder.join("plan.json");
        let found = file.exists().then(|| FilmPlan::read(&file)?.identity());
        let wanted = plan.identity()?;
        let same = matches!(&found, Some(Ok(found)) if *found == wanted);
        if found.is_some() && !same {
            if !force {
                bail!(
                    "{} has pieces of another film or with other settings, or of another generator; \
                     say --force to begin anew, or remove it",
                    folder.display()
                );
            }
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("{} cannot be written", folder.display()))?;
        }
        let store = Store::new(&folder, &plan)?;
        if !same {
            // Written atomically, because several processes may start at the same time.
            files::write_atomically(&file, plan.text()?.as_bytes())?;
        }
        Ok(Self {
            folder,
            plan,
            store,
        })
    }
}
