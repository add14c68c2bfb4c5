// SPDX-License-Identifier: MPL-2.0
//! Collects the findings of all trials and prints them as a Markdown table.

use std::collections::BTreeMap;
use std::path::Path;

use super::Trial;
use super::trial::Findings;

/// PSNR in decibels below which a provider's picture counts as wrong.
const LEAST_PSNR: f64 = 35.0;

/// File name of a path.
fn name(path: Option<&Path>) -> Option<String> {
    Some(path?.file_name()?.to_string_lossy().into_owned())
}

pub struct Table {
    sizes: Vec<String>,
    rows: Vec<Vec<String>>,
    /// By library: the providers that it was built without.
    absent: BTreeMap<String, Vec<String>>,
    /// By provider, library and error: the precisions that failed with it.
    missing: BTreeMap<(String, String), Vec<String>>,
    /// Whether a provider crashed or its picture is wrong.
    bad: bool,
}

impl Table {
    pub fn new(sizes: &[(u32, u32)]) -> Self {
        let sizes = sizes
            .iter()
            .map(|(width, height)| format!("{width}x{height}"));
        Self {
            sizes: sizes.collect(),
            rows: Vec::new(),
            absent: BTreeMap::new(),
            missing: BTreeMap::new(),
            bad: false,
        }
    }

    /// Adds the findings of a trial: a row for each precision that ran, or its error to the list below the table.
    pub fn add(&mut self, trial: &Trial, findings: Findings) {
        let library = name(trial.place.provider_library.as_deref())
            .or_else(|| name(trial.place.runtime.as_deref()));
        let library = library.unwrap_or_default();
        let model = trial
            .model
            .as_deref()
            .map(Path::new)
            .and_then(Path::file_stem);
        let model = model.map_or("built-in".into(), |stem| stem.to_string_lossy());
        if let Some(crash) = findings.crash {
            self.bad = true;
            let mut row = vec![library.clone(), String::new(), trial.provider.clone()];
            row.push(crash);
            row.resize(self.columns().len(), String::new());
            self.rows.push(row);
        }
        for finding in findings.found {
            let precision = finding.get::<String>("precision").unwrap_or_default();
            if let Ok(error) = finding.get::<String>("error") {
                if error.contains("was built without it") {
                    let absent = self.absent.entry(library.clone()).or_default();
                    if !absent.contains(&trial.provider) {
                        absent.push(trial.provider.clone());
                    }
                } else if !error.contains("cannot run in") && !error.contains("not in 8-bit") {
                    // A precision that the provider or the model does not have is expected, so it is not listed.
                    let what = format!("{}, {library}", trial.provider);
                    let precisions = self.missing.entry((what, error)).or_default();
                    if !precisions.contains(&precision) {
                        precisions.push(precision);
                    }
                }
                continue;
            }
            let psnr = finding.get::<f64>("psnr").unwrap_or(0.0);
            self.bad |= psnr < LEAST_PSNR;
            let number = |name: &str| {
                let number = finding.get::<u32>(name);
                number.map_or_else(|_| "?".into(), |number| number.to_string())
            };
            let version = finding.get::<String>("runtime").unwrap_or_default();
            let mut row = vec![library.clone(), version, trial.provider.clone(), precision];
            row.push(model.to_string());
            row.push(format!("{} + {}", number("nodes"), number("nodes-on-cpu")));
            row.push(number("worst"));
            row.push(format!("{psnr:.1}"));
            for size in &self.sizes {
                row.push(match finding.get::<f64>(size) {
                    Ok(fps) if fps > 0.0 => format!("{fps:.1}"),
                    Ok(_) => "too slow".into(),
                    Err(_) => String::new(),
                });
            }
            self.rows.push(row);
        }
    }

    /// Headings: the fixed columns, then frames per second for each size.
    fn columns(&self) -> Vec<String> {
        let fixed = [
            "library",
            "version",
            "provider",
            "precision",
            "generator",
            "nodes there + on CPU",
            "worst error",
            "PSNR, dB",
        ];
        let fps = self.sizes.iter().map(|size| format!("fps, {size}"));
        fixed.map(String::from).into_iter().chain(fps).collect()
    }

    /// Whether no provider crashed and all pictures match the CPU's.
    pub fn all_well(&self) -> bool {
        !self.bad
    }

    /// Prints the table, and below it the providers that cannot run here, with their errors.
    pub fn print(&self) {
        let columns = self.columns();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells
                .chain([columns[column].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            println!("| {} |", cells.join(" | "));
        };
        line(&columns);
        line(
            &widths
                .iter()
                .map(|width| "-".repeat(*width))
                .collect::<Vec<_>>(),
        );
        self.rows.iter().for_each(|row| line(row));
        println!(
            "\nErrors and PSNR are to the CPU provider in fp32, in 8-bit grey levels, the worse of RGBA and I420; frames per second are of RGBA in system memory."
        );
        for (library, providers) in &self.absent {
            println!("\n{library} was built without {}.", providers.join(", "));
        }
        for ((what, reason), precisions) in &self.missing {
            let precisions = precisions.join(", ");
            println!("\nNot here: {what}, in {precisions}. {reason}");
        }
    }
}
