// SPDX-License-Identifier: MPL-2.0
//! Standard input and output. Both go through temporary files: the input is read once for each stream, and most muxers
//! write the header last.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Args, film, interrupt};
use crate::shared::failure::usage;

/// Stylizes with `-` as input or output.
///
/// As for files, or a usage error for a terminal or a missing `--format`.
pub fn run(args: &Args) -> Result<()> {
    let mut inner = args.clone();
    let folder = tempfile::tempdir().context("no folder for what passes through")?;
    let output = args.output == Path::new("-");
    if output {
        let Some(format) = &args.format else {
            return Err(usage(
                "standard output has no extension: say --format mp4, mkv or another container",
            ));
        };
        if args.json {
            return Err(usage(
                "--json and the film cannot both go to standard output",
            ));
        }
        if stdout().is_terminal() {
            return Err(usage(
                "standard output is a terminal: say where the film goes",
            ));
        }
        inner.output = folder.path().join(format!("out.{format}"));
    }
    if args.input == "-" {
        if stdin().is_terminal() {
            return Err(usage("standard input is a terminal: pipe a film into it"));
        }
        let file = folder.path().join("in");
        let mut copy = File::create(&file).context("standard input cannot be kept")?;
        let size = std::io::copy(&mut stdin().lock(), &mut copy);
        if size.context("standard input cannot be read")? == 0 {
            bail!("standard input is empty");
        }
        inner.input = file.to_str().context("a folder that is not UTF-8")?.into();
    }
    interrupt::watch_signal(args.segments == 1)?;
    let said = film(&inner)?;
    if output {
        let mut file = File::open(&inner.output).context("the film is not there")?;
        std::io::copy(&mut file, &mut stdout().lock()).context("standard output broke")?;
    }
    if let Some(text) = said.filter(|_| !args.quiet && !args.json) {
        eprintln!("{text}");
    }
    Ok(())
}
