// SPDX-License-Identifier: MPL-2.0
//! Applies a plan on this machine: finds its files and checks that generator and encoder are available.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use gststylize::model::modelinfo;

use super::files::sha256;
use super::film_plan::{FilmPlan, Painted};
use crate::paint::Args;
use crate::paint::film::Film;
use crate::paint::look::look;
use crate::paint::plan::Plan;
use crate::shared::address;

/// Options of a machine, which are not part of the plan.
#[derive(clap::Args, Clone, Default)]
pub struct Machine {
    /// Where the plan's files are on this machine: a file or a folder, any number of times. They are known by
    /// their content
    #[arg(long = "input", value_name = "PATH")]
    places: Vec<PathBuf>,
    /// Which of the provider's devices: a number from 0, or its name
    #[arg(long)]
    device: Option<String>,
    /// Threads of a CPU provider (0 = all)
    #[arg(long)]
    threads: Option<u32>,
    /// ONNX Runtime's shared library
    #[arg(long)]
    runtime_library: Option<String>,
    /// Another provider than the plan's, with the same generator in the same precision; frames then differ by
    /// rounding
    #[arg(long)]
    execution_provider: Option<String>,
}

impl Machine {
    /// The machine's options among the arguments of `paint`.
    pub fn of(args: &Args) -> Self {
        Self {
            places: Vec::new(),
            device: args.device.clone(),
            threads: args.threads,
            runtime_library: args.runtime_library.clone(),
            execution_provider: None,
        }
    }
}

/// A plan with everything that is needed to follow it.
pub struct Here {
    pub plan: Plan,
    pub film: Film,
    provider: Option<String>,
}

/// Parser for the arguments of `paint`.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

impl Here {
    /// If a file is missing, or an element or generator is not available.
    pub fn new(film_plan: &FilmPlan, machine: &Machine) -> Result<Self> {
        let input = film_plan.input.find(&machine.places)?;
        let args = arguments(film_plan, machine, &input)?;
        Self::with(&args, &input, machine.execution_provider.clone())
    }

    /// Only the parts that joining needs: input and container. No generator is looked for.
    ///
    /// # Errors
    /// If the input is missing.
    pub fn for_join(film_plan: &FilmPlan, places: &[PathBuf]) -> Result<Self> {
        let mut film_plan = film_plan.clone();
        film_plan.files.clear();
        film_plan.properties.clear();
        let machine = Machine {
            places: places.to_vec(),
            ..Machine::default()
        };
        let input = film_plan.input.find(places)?;
        let args = line(&film_plan, &machine, &input, &BTreeMap::new())?;
        Self::with(&args, &input, None)
    }

    fn with(args: &Args, input: &Path, provider: Option<String>) -> Result<Self> {
        Ok(Self {
            plan: Plan::new(args)?,
            film: look(&address::file(input)?).with_context(|| input.display().to_string())?,
            provider,
        })
    }

    /// Checks that provider and precision were those of the plan.
    ///
    /// # Errors
    /// If they were not.
    pub fn check(&self, film_plan: &FilmPlan, painted: &Painted) -> Result<()> {
        let provider = match &self.provider {
            // The user has chosen another provider for this machine.
            Some(_) => &painted.provider,
            None => &film_plan.provider,
        };
        if (provider, &film_plan.precision) != (&painted.provider, &painted.precision) {
            bail!(
                "the plan says {provider} in {}, and this machine painted on {} in {}",
                film_plan.precision,
                painted.provider,
                painted.precision
            );
        }
        Ok(())
    }
}

/// Arguments of `paint` for the plan, with the paths of files on this machine.
fn arguments(film_plan: &FilmPlan, machine: &Machine, input: &Path) -> Result<Args> {
    let mut properties = film_plan.properties.clone();
    for (name, file) in &film_plan.files {
        let found = file.find(&machine.places)?;
        properties.insert(name.clone(), text(&found)?);
    }
    match &film_plan.generator.file {
        Some(file) => {
            let found = generator(film_plan, file, &machine.places)?;
            properties.insert("model-file".into(), text(&found)?);
        }
        None => {
            let (quality, sum) = built_in(&film_plan.generator.name)?;
            if sum != film_plan.generator.sha256 {
                bail!(
                    "this program's {} is not the plan's; all machines need the same program",
                    film_plan.generator.name
                );
            }
            properties.insert("quality".into(), quality.into());
        }
    }
    let provider = machine.execution_provider.as_ref();
    let provider = provider.unwrap_or(&film_plan.provider).clone();
    properties.insert("execution-provider".into(), provider);
    properties.insert("precision".into(), film_plan.precision.clone());
    line(film_plan, machine, input, &properties)
}

/// Builds and parses a command line, so that values of a plan are validated like those of a user and cannot become
/// options.
fn line(
    film_plan: &FilmPlan,
    machine: &Machine,
    input: &Path,
    properties: &BTreeMap<String, String>,
) -> Result<Args> {
    let mut words = vec![
        "stylize".to_string(),
        format!("--encoder={}", film_plan.encoder.element),
        format!("--encoder-threads={}", film_plan.encoder.threads),
        format!("--hdr={}", film_plan.hdr),
    ];
    let numbers = [
        ("crf", film_plan.encoder.crf),
        ("bitrate", film_plan.encoder.bitrate),
        ("threads", machine.threads),
    ];
    for (name, number) in numbers {
        words.extend(number.map(|number| format!("--{name}={number}")));
    }
    let texts = [
        ("device", &machine.device),
        ("runtime-library", &machine.runtime_library),
    ];
    for (name, text) in texts {
        words.extend(text.as_ref().map(|text| format!("--{name}={text}")));
    }
    // Absolute paths, which cannot be taken for options.
    words.push(text(&std::path::absolute(input)?)?);
    words.push(format!("/film.{}", film_plan.container));
    words.push("--".into());
    words.extend(
        properties
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    let line = Line::try_parse_from(&words);
    Ok(line.map_err(|err| anyhow::anyhow!("{}", err.kind()))?.args)
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(String::from);
    text.with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Finds the generator's file by its content.
fn generator(film_plan: &FilmPlan, file: &Path, places: &[PathBuf]) -> Result<PathBuf> {
    let name = file.file_name();
    let in_places = places.iter().flat_map(|place| {
        let within = name.map(|name| place.join(name));
        [Some(place.clone()), within].into_iter().flatten()
    });
    for path in std::iter::once(file.to_path_buf()).chain(in_places) {
        if path.is_file() && of_generator(&path).is_ok_and(|sum| sum == film_plan.generator.sha256)
        {
            return Ok(path);
        }
    }
    bail!(
        "no file here is the plan's generator {} (SHA-256 {}); name it by --input",
        file.display(),
        film_plan.generator.sha256
    )
}

/// SHA-256 of a model with its external weights, its sidecar and its style predictor.
///
/// # Errors
/// If it is not a model.
pub fn of_generator(file: &Path) -> Result<String> {
    let mut bytes = gststylize::model::file::whole(file)
        .map_err(|err| anyhow::anyhow!("{}: {err}", file.display()))?;
    let sidecars = modelinfo::candidates(file);
    if let Some(sidecar) = sidecars.iter().find(|path| path.is_file()) {
        bytes.extend(std::fs::read(sidecar)?);
    }
    if let Ok(Some(predictor)) = modelinfo::predictor(file) {
        bytes.extend(std::fs::read(predictor)?);
    }
    Ok(sha256(&bytes))
}

/// Value of `quality` for a built-in generator, and the SHA-256 of its model.
///
/// # Errors
/// If there is no such generator.
pub fn built_in(name: &str) -> Result<(&'static str, String)> {
    use gststylize::gallery::{FULL, LITE, LITE_INT8, QUICK};
    let all = [
        (&LITE, "lite"),
        (&LITE_INT8, "lite"),
        (&FULL, "full"),
        (&QUICK, "quick"),
    ];
    let found = all.iter().find(|(network, _)| network.name == name);
    let (network, quality) =
        found.with_context(|| format!("this program has no built-in generator {name}"))?;
    Ok((quality, sha256(network.onnx)))
}
