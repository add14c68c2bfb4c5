// SPDX-License-Identifier: MPL-2.0
//! Video and pictures with orientation tags are written as players show them.

use std::path::Path;

use image::RgbImage;
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};

use super::probe::{ffmpeg, folder, mean_difference, paint};

type Turn = fn(&RgbImage) -> RgbImage;

const PICTURE: &str = "-f lavfi -i testsrc2=s=64x48:r=25:d=0.2";
/// The value 1 in the two fixed-point formats of the display matrix.
const ONE: i32 = 1 << 16;
const UNIT: i32 = 1 << 30;

/// `strength=0`, so that pictures can be compared.
const UNPAINTED: [&str; 3] = ["--force", "--strength", "0"];

/// Mirrored at the diagonal that begins at the upper left.
fn transpose(picture: &RgbImage) -> RgbImage {
    flip_horizontal(&rotate90(picture))
}

/// Mirrored at the other diagonal.
fn transverse(picture: &RgbImage) -> RgbImage {
    flip_horizontal(&rotate270(picture))
}

#[track_caller]
fn same(got: &RgbImage, wanted: &RgbImage, what: &str) {
    assert_eq!(got.dimensions(), wanted.dimensions(), "{what}");
    let mean = mean_difference(got, wanted);
    assert!(mean < 5, "{what}: {mean} off");
}

fn first_frame(film: &Path, picture: &Path) -> RgbImage {
    let line = format!("-noautorotate -i {} -frames:v 1", film.display());
    ffmpeg(&line, picture);
    image::open(picture).expect("a picture").into_rgb8()
}

#[test]
fn video_with_a_display_matrix() {
    let (_dir, file) = folder();
    for name in ["in.mp4", "in.mov"] {
        ffmpeg(&format!("{PICTURE} -pix_fmt yuv420p"), &file(name));
        let bytes = std::fs::read(file(name)).expect("a film");
        let upright = first_frame(&file(name), &file("in.png"));
        let header = bytes.windows(4).position(|name| name == b"tkhd");
        // After the fields of version 0.
        let matrix = header.expect("a track") + 44;
        let (width, height) = (64 * ONE, 48 * ONE);
        let cases: [([i32; 6], Turn); 6] = [
            ([-ONE, 0, 0, ONE, width, 0], flip_horizontal),
            ([ONE, 0, 0, -ONE, 0, height], flip_vertical),
            ([-ONE, 0, 0, -ONE, width, height], rotate180),
            ([0, ONE, -ONE, 0, height, 0], rotate90),
            ([0, -ONE, ONE, 0, 0, width], rotate270),
            ([0, ONE, ONE, 0, 0, 0], transpose),
        ];
        for ([a, b, c, d, x, y], turn) in cases {
            let numbers = [a, b, 0, c, d, 0, x, y, UNIT].map(i32::to_be_bytes);
            let mut turned = bytes.clone();
            turned[matrix..matrix + 36].copy_from_slice(&numbers.concat());
            let from = file(&format!("turned-{name}"));
            std::fs::write(&from, turned).expect("written");
            paint(&from, &file("out.mkv"), &UNPAINTED);
            let got = first_frame(&file("out.mkv"), &file("out.png"));
            same(&got, &turn(&upright), &format!("{name} {a} {b} {c} {d}"));
        }
    }
}

#[test]
fn pictures_with_an_orientation_in_exif() {
    let (_dir, file) = folder();
    let line = format!("{PICTURE} -frames:v 1 -pix_fmt yuvj420p");
    ffmpeg(&line, &file("in.jpg"));
    let bytes = std::fs::read(file("in.jpg")).expect("a picture");
    paint(&file("in.jpg"), &file("out.png"), &UNPAINTED);
    let upright = image::open(file("out.png")).expect("a picture");
    let upright = upright.into_rgb8();
    let cases: [Turn; 8] = [
        RgbImage::clone,
        flip_horizontal,
        rotate180,
        flip_vertical,
        transpose,
        rotate90,
        transverse,
        rotate270,
    ];
    for (number, turn) in (1..).zip(cases) {
        // One entry: the orientation, a short number.
        let mut exif =
            b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([number, 0, 0, 0, 0, 0, 0, 0]);
        let mut turned = bytes.clone();
        turned.splice(2..2, exif);
        let from = file("turned.jpg");
        std::fs::write(&from, turned).expect("written");
        paint(&from, &file("out.png"), &UNPAINTED);
        let got = image::open(file("out.png")).expect("a picture").into_rgb8();
        same(&got, &turn(&upright), &format!("orientation {number}"));
    }
}
