// SPDX-License-Identifier: MPL-2.0
//! Colour matrices between RGB and codes of luma and colour differences (ITU-R BT.601, BT.709 and BT.2020
//! non-constant luminance, SMPTE 240M, FCC; ITU-T H.273 table 4).

use super::format::{Components, Depth};

/// A row of a colour matrix, and its offset.
pub(crate) type Row = ([f64; 3], f64);

/// Coding of components.
pub(crate) struct Codes {
    /// Luma weights of red and blue; `None` for RGB.
    matrix: Option<(f64, f64)>,
    /// Whether codes have the full range.
    full: bool,
    depth: Depth,
}

impl Codes {
    /// The coding of these components.
    pub(crate) fn of(components: Components, depth: Depth) -> Self {
        let (matrix, full) = match components {
            Components::Rgb => (None, true),
            Components::Yuv { matrix, full, .. } | Components::Grey { matrix, full } => {
                (Some(matrix.weights()), full)
            }
        };
        Self {
            matrix,
            full,
            depth,
        }
    }

    /// Range of the codes of luma and of chroma, each divided by 255, and the code of black.
    fn spans(&self) -> (f64, f64, f64) {
        let times = f64::from(1_u32 << (self.depth.bits - 8));
        match self.full {
            true => (
                self.depth.max_code() / 255.0,
                self.depth.max_code() / 255.0,
                0.0,
            ),
            false => (219.0 * times / 255.0, 224.0 * times / 255.0, 16.0 * times),
        }
    }

    /// The code of chroma without colour.
    pub(crate) fn neutral(&self) -> f64 {
        f64::from(1_u32 << (self.depth.bits - 1))
    }

    /// Scale and offset from codes of luma to 0..255.
    pub(crate) fn to_grey(&self) -> (f64, f64) {
        let (luma, _, black) = self.spans();
        (1.0 / luma, -black / luma)
    }

    /// Y, Cb and Cr codes from red, green and blue in 0..255.
    pub(crate) fn of_rgb(&self) -> [Row; 3] {
        let (kr, kb) = self.matrix.unwrap_or((1.0, 0.0));
        let kg = 1.0 - kr - kb;
        let (luma, chroma, black) = self.spans();
        // (colour − luma), scaled to −0.5..0.5.
        let difference = |weight: f64| [kr, kg, kb].map(|v| -v * chroma / (2.0 * (1.0 - weight)));
        let (mut cb, mut cr) = (difference(kb), difference(kr));
        cb[2] = chroma / 2.0;
        cr[0] = chroma / 2.0;
        [
            ([kr, kg, kb].map(|v| v * luma), black),
            (cb, self.neutral()),
            (cr, self.neutral()),
        ]
    }

    /// Red, green and blue in 0..255 from Y codes and from Cb and Cr codes less [`Self::neutral`].
    pub(crate) fn to_rgb(&self) -> [Row; 3] {
        let (kr, kb) = self.matrix.unwrap_or((1.0, 0.0));
        let kg = 1.0 - kr - kb;
        let (luma, chroma, black) = self.spans();
        let (red, blue) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
        let rows = [
            [1.0, 0.0, red],
            [1.0, -kb * blue / kg, -kr * red / kg],
            [1.0, blue, 0.0],
        ];
        rows.map(|[y, cb, cr]| {
            let row = [y / luma, cb / chroma, cr / chroma];
            (row, -black * row[0])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Matrix;
    use super::*;

    #[test]
    fn the_matrices_are_inverse_and_grey_has_no_colour() {
        for matrix in [
            Matrix::Bt601,
            Matrix::Bt709,
            Matrix::Bt2020,
            Matrix::Smpte240m,
        ] {
            for (full, bits) in [(true, 8), (false, 8), (true, 10), (false, 10)] {
                let depth = Depth { bits, upper: false };
                let codes = Codes::of(Components::Grey { matrix, full }, depth);
                let apply = |rows: [Row; 3], v: [f64; 3]| {
                    rows.map(|(row, c)| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>() + c)
                };
                let grey = codes.neutral();
                for rgb in [[10.0, 200.0, 30.0], [255.0, 0.0, 0.0], [90.0, 90.0, 90.0]] {
                    let [y, cb, cr] = apply(codes.of_rgb(), rgb);
                    let back = apply(codes.to_rgb(), [y, cb - grey, cr - grey]);
                    for (a, b) in rgb.iter().zip(back) {
                        assert!((a - b).abs() < 1e-9, "{matrix:?} {rgb:?} {back:?}");
                    }
                    if rgb[0] == rgb[1] {
                        assert!((cb - grey).abs() < 1e-9 && (cr - grey).abs() < 1e-9);
                    }
                }
                let white = apply(codes.of_rgb(), [255.0; 3])[0];
                let wanted = match (full, bits) {
                    (true, 8) => 255.0,
                    (true, _) => 1023.0,
                    (false, 8) => 235.0,
                    (false, _) => 940.0,
                };
                assert!((white - wanted).abs() < 1e-9);
            }
        }
    }
}
