// SPDX-License-Identifier: MPL-2.0
//! Writes man pages and shell completions into the folders in which packages install them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap_complete::Shell;

#[derive(clap::Args)]
pub struct Args {
    /// Folder that gets share/man, share/bash-completion and their kin
    prefix: PathBuf,
}

/// Runs the command; see the module.
///
/// # Errors
/// If a file cannot be written.
pub fn run(args: &Args, mut command: clap::Command) -> Result<()> {
    let share = args.prefix.join("share");
    let man = folder(&share.join("man/man1"))?;
    clap_mangen::generate_to(command.clone(), &man).context("man pages cannot be written")?;
    for (shell, place) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/vendor-completions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        let place = folder(&share.join(place))?;
        let written = clap_complete::generate_to(shell, &mut command, "stylize", &place);
        let written = written.with_context(|| format!("{} cannot be written", place.display()))?;
        if shell == Shell::Bash {
            // bash-completion looks for a file with the command's name.
            std::fs::rename(&written, place.join("stylize"))?;
        }
    }
    Ok(())
}

/// Creates the folder and its parents.
fn folder(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path).with_context(|| format!("{} cannot be made", path.display()))?;
    Ok(path.into())
}
