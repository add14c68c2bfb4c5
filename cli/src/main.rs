// SPDX-License-Identifier: MPL-2.0
//! The program `stylize`; `stylize --help` says what it does.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    stylize_cli::command::Cli::parse()
        .run()
        .unwrap_or_else(|err| {
            eprintln!("error: {err:#}");
            ExitCode::from(stylize_cli::shared::failure::code(&err))
        })
}
