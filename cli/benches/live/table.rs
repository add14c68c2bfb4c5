// SPDX-License-Identifier: MPL-2.0
//! Tables as Markdown has them, row by row as they are measured.

pub struct Table;

impl Table {
    pub fn new(heads: &[&str]) -> Self {
        println!("| {} |", heads.join(" | "));
        println!("|{}", "---|".repeat(heads.len()));
        Self
    }

    pub fn row(&self, cells: &[String]) {
        println!("| {} |", cells.join(" | "));
    }
}

/// The value below which this part of all values lies, per cent.
pub fn share(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (values.len() * percent / 100).min(last);
    values.get(at).copied().unwrap_or(f64::NAN)
}
