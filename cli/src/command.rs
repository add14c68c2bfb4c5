// SPDX-License-Identifier: MPL-2.0
//! The command line: its commands and the call of each. Arguments and their meaning are in the commands' modules.

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

#[cfg(feature = "live")]
use crate::live;
#[cfg(feature = "rtsp")]
use crate::rtsp;
use crate::{bench, doctor, info, install, paint, restream, styles};

/// Turn videos and live streams into paintings.
#[derive(Parser)]
#[command(name = "stylize", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    paint: Option<paint::Args>,
}

#[derive(Subcommand)]
enum Command {
    /// Stylize a video file (the default command)
    Paint(paint::Args),
    /// Divide a video file into pieces for many machines: writes a plan to standard output
    Plan(paint::pieces::PlanArgs),
    /// Stylize one piece of a plan
    Piece(paint::pieces::PieceArgs),
    /// Make the video file of a plan's pieces
    Join(paint::pieces::JoinArgs),
    /// Serve a live picture to browsers and players, with an API
    #[cfg(feature = "live")]
    Live(live::Args),
    /// Take a live stream and send it on, stylized
    Restream(restream::Args),
    /// Serve stylized video over RTSP
    #[cfg(feature = "rtsp")]
    Rtsp(rtsp::Args),
    /// Try, compare and time every execution provider that can be found
    Doctor(doctor::Args),
    /// List the built-in styles, or show them on a picture and in a clip
    Styles(styles::Args),
    /// Say what is known about an ONNX generator
    Info(info::Args),
    /// Measure frames per second on this machine
    Bench(bench::Args),
    /// Write man pages and completions for packages
    #[command(hide = true)]
    Install(install::Args),
}

impl Cli {
    /// Runs the command; returns the exit code of the process.
    ///
    /// The error of the command, a sentence for the user.
    pub fn run(self) -> Result<ExitCode> {
        let done = |()| ExitCode::SUCCESS;
        match (self.command, self.paint) {
            (Some(Command::Paint(args)), _) | (None, Some(args)) => {
                paint::run(&args).map(|()| paint::code())
            }
            (Some(Command::Plan(args)), _) => paint::pieces::plan(&args).map(done),
            (Some(Command::Piece(args)), _) => paint::pieces::piece(&args).map(done),
            (Some(Command::Join(args)), _) => paint::pieces::join(&args).map(done),
            #[cfg(feature = "live")]
            (Some(Command::Live(args)), _) => live::run(&args).map(done),
            (Some(Command::Restream(args)), _) => restream::run(&args).map(done),
            #[cfg(feature = "rtsp")]
            (Some(Command::Rtsp(args)), _) => rtsp::run(&args).map(done),
            (Some(Command::Doctor(args)), _) => doctor::run(&args),
            (Some(Command::Styles(args)), _) => styles::run(&args).map(done),
            (Some(Command::Info(args)), _) => info::run(&args).map(done),
            (Some(Command::Bench(args)), _) => bench::run(&args).map(done),
            (Some(Command::Install(args)), _) => install::run(&args, Self::command()).map(done),
            (None, None) => {
                Self::command().print_help()?;
                Ok(ExitCode::from(2))
            }
        }
    }
}
