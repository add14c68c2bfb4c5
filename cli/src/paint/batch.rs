// SPDX-License-Identifier: MPL-2.0
//! Stylizes all films of a folder into another folder, in the order of their names. A failure does not stop the others;
//! outputs that exist are kept.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Args, container, interrupt, source};
use crate::shared::address::uri;

/// Extensions of films; other files are skipped.
const FILMS: [&str; 16] = [
    "3gp", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv",
    "ts", "webm", "wmv",
];
/// Extensions of pictures; those that cannot be written become PNG.
const PICTURES: [&str; 7] = ["jpg", "jpeg", "png", "apng", "gif", "webp", "avif"];
/// Largest difference in seconds between a film and its source: demuxers compute the duration differently, with or
/// without the last frame and trailing sound.
const TOLERANCE: f64 = 1.0;

/// Result for one film.
enum Outcome {
    /// Stylized, with a summary.
    Painted(String),
    /// Its output exists.
    Exists,
    /// Another process is writing it.
    Elsewhere,
}

/// Stylizes the films that have no output.
///
/// # Errors
/// If the folders cannot be used, or at the end if any film failed.
pub fn run(args: &Args) -> Result<()> {
    let (from, to) = (Path::new(&args.input), &args.output);
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    if from.canonicalize()? == to.canonicalize()? {
        bail!(
            "{} is where the films are; give another folder for the paintings",
            to.display()
        );
    }
    interrupt::watch_signal(false)?;
    let films = films(from)?;
    if films.is_empty() {
        bail!(
            "{} has no films; known are .{}",
            from.display(),
            FILMS.join(" .")
        );
    }
    let (mut painted, mut whole, mut elsewhere, mut failed) = (0, 0, 0, 0);
    let mut names = HashSet::new();
    for file in &films {
        let result = output(to, file).and_then(|output| {
            if !names.insert(output.clone()) {
                bail!(
                    "{} is another film's painting; rename one",
                    output.display()
                );
            }
            one(args, file, output)
        });
        let (count, text) = match result {
            Ok(Outcome::Painted(text)) => (&mut painted, text),
            Ok(Outcome::Exists) => (&mut whole, "is there already".into()),
            Ok(Outcome::Elsewhere) => (&mut elsewhere, "is being made elsewhere".into()),
            Err(err) => (&mut failed, format!("error: {err:#}")),
        };
        *count += 1;
        // Only the part before the first empty line.
        let text = text.lines().take_while(|line| !line.is_empty());
        println!(
            "{}: {}",
            file.display(),
            text.collect::<Vec<_>>().join("; ")
        );
    }
    println!(
        "{} films: {painted} painted, {whole} there already, {elsewhere} elsewhere, {failed} failed",
        films.len()
    );
    if failed > 0 {
        bail!("{failed} of {} films failed", films.len());
    }
    Ok(())
}

/// The films of a folder, sorted by name.
fn films(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("{} cannot be read", folder.display());
    let mut films = Vec::new();
    for entry in folder.read_dir().with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        let extension = extension.to_ascii_lowercase();
        let known = FILMS.contains(&extension.as_str()) || is_picture(&path);
        if known && path.is_file() {
            films.push(path);
        } else {
            println!("{}: left out, it is no film", path.display());
        }
    }
    films.sort();
    Ok(films)
}

fn is_picture(file: &Path) -> bool {
    PICTURES.contains(&container::extension(file).as_str())
}

/// The same name in `folder`, with another extension if the container cannot be written.
fn output(folder: &Path, film: &Path) -> Result<PathBuf> {
    let name = film.file_name().context("a film without a name")?;
    let output = folder.join(name);
    let keeps = container::is_container(&output);
    Ok(if keeps {
        output
    } else {
        let extension = if is_picture(&output) { "png" } else { "mp4" };
        output.with_extension(extension)
    })
}

/// Stylizes one film.
fn one(args: &Args, film: &Path, output: PathBuf) -> Result<Outcome> {
    let args = Args {
        input: film.to_str().context("its name is not UTF-8")?.into(),
        output,
        ..args.clone()
    };
    if args.output.exists() && !args.force {
        if is_picture(film) {
            return Ok(Outcome::Exists);
        }
        let (source, painting) = (seconds(film)?, seconds(&args.output)?);
        if (source - painting).abs() > TOLERANCE {
            bail!(
                "{} has {painting:.1} of {source:.1} seconds; remove it, or say --force to overwrite all",
                args.output.display()
            );
        }
        return Ok(Outcome::Exists);
    }
    Ok(super::film(&args)?.map_or(Outcome::Elsewhere, Outcome::Painted))
}

/// Duration in seconds.
fn seconds(film: &Path) -> Result<f64> {
    let duration = source::duration(&uri(&film.to_string_lossy())?);
    let duration = duration.with_context(|| format!("{} cannot be played", film.display()))?;
    Ok(duration.nseconds() as f64 / 1e9)
}
