// SPDX-License-Identifier: MPL-2.0
//! Unit tests of the window of Low-Latency HLS, without server and clock.

use std::time::Duration;

use super::hls_window::{Answer, Lengths, Part, Window};

/// Four parts of 250 ms, the first of which begins with a key frame.
fn segment(window: &mut Window, number: u64) {
    for index in 0..4 {
        part(window, number, index);
    }
}

fn part(window: &mut Window, number: u64, index: u64) {
    push(window, number * 1000 + index * 250, 250, index == 0);
}

fn push(window: &mut Window, time: u64, duration: u64, independent: bool) {
    window.push(Part {
        // A second after midnight of a leap day.
        time: Duration::from_millis(1_709_164_801_000 + time),
        duration: Duration::from_millis(duration),
        independent,
        data: format!("[{time}]").into(),
    });
}

/// Segments of a second from number 100 on, at 20 frames a second.
fn window(segments: u64) -> Window {
    let mut window = Window::new(2, 100, Lengths::at(20));
    window.set_init("init".into(), "avc1.42c01e".into());
    (0..segments).for_each(|number| segment(&mut window, number));
    window
}

#[test]
fn the_playlist_of_some_parts() {
    let mut window = window(4);
    part(&mut window, 4, 0);
    part(&mut window, 4, 1);
    let wanted = "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.825
#EXT-X-PART-INF:PART-TARGET=0.275
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init-100.mp4?token=a\"
#EXT-X-PROGRAM-DATE-TIME:2024-02-29T00:00:01.000Z
#EXTINF:1.00000,
100.m4s?token=a
#EXT-X-PROGRAM-DATE-TIME:2024-02-29T00:00:02.000Z
#EXT-X-PART:DURATION=0.25000,URI=\"101.0.m4s?token=a\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.25000,URI=\"101.1.m4s?token=a\"
#EXT-X-PART:DURATION=0.25000,URI=\"101.2.m4s?token=a\"
#EXT-X-PART:DURATION=0.25000,URI=\"101.3.m4s?token=a\"
#EXTINF:1.00000,
101.m4s?token=a
#EXT-X-PROGRAM-DATE-TIME:2024-02-29T00:00:03.000Z
#EXT-X-PART:DURATION=0.25000,URI=\"102.0.m4s?token=a\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.25000,URI=\"102.1.m4s?token=a\"
#EXT-X-PART:DURATION=0.25000,URI=\"102.2.m4s?token=a\"
#EXT-X-PART:DURATION=0.25000,URI=\"102.3.m4s?token=a\"
#EXTINF:1.00000,
102.m4s?token=a
#EXT-X-PROGRAM-DATE-TIME:2024-02-29T00:00:04.000Z
#EXT-X-PART:DURATION=0.25000,URI=\"103.0.m4s?token=a\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.25000,URI=\"103.1.m4s?token=a\"
#EXT-X-PART:DURATION=0.25000,URI=\"103.2.m4s?token=a\"
#EXT-X-PART:DURATION=0.25000,URI=\"103.3.m4s?token=a\"
#EXTINF:1.00000,
103.m4s?token=a
#EXT-X-PROGRAM-DATE-TIME:2024-02-29T00:00:05.000Z
#EXT-X-PART:DURATION=0.25000,URI=\"104.0.m4s?token=a\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.25000,URI=\"104.1.m4s?token=a\"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"104.2.m4s?token=a\"
";
    assert_eq!(window.playlist("?token=a").as_deref(), Some(wanted));
    part(&mut window, 4, 2);
    part(&mut window, 4, 3);
    let text = window.playlist("").expect("a playlist");
    let (_, hint) = text.split_once("PRELOAD-HINT").expect("a hint");
    assert_eq!(hint, ":TYPE=PART,URI=\"105.0.m4s\"\n");
}

#[test]
fn there_is_no_playlist_before_a_player_can_begin() {
    let mut window = Window::new(0, 7, Lengths::at(20));
    assert_eq!((window.init(7), window.codec()), (None, None));
    assert_eq!(window.reload(7, Some(0)), Answer::Wait);
    (0..5).for_each(|number| segment(&mut window, number));
    assert_eq!(window.playlist(""), None, "without a codec");
    window.set_init("init".into(), "avc1".into());
    assert!(window.playlist("").is_some());
    assert_eq!(window.codec(), Some("avc1"));
    assert_eq!(window.init(7).as_deref(), Some(&b"init"[..]));
    assert_eq!(window.init(6), None, "another stream's");
    assert_eq!(window.first(), 7);
    for (segments, there) in [(0, false), (3, false), (4, true)] {
        let window = self::window(segments);
        assert_eq!(window.playlist("").is_some(), there, "{segments}");
    }
}

#[test]
fn a_reload_blocks_until_its_part_exists() {
    let refused = |answer: Answer<()>| match answer {
        Answer::Refused(text) => text.contains("too far ahead"),
        _ => false,
    };
    // 100 to 103 are complete, 104 has two parts.
    let mut window = window(4);
    part(&mut window, 4, 0);
    part(&mut window, 4, 1);
    for (segment, part) in [
        (0, None),
        (103, None),
        (90, Some(7)),
        (103, Some(3)),
        // Means the first one of the next segment.
        (103, Some(4)),
        (104, Some(1)),
    ] {
        let answer = window.reload(segment, part);
        assert_eq!(answer, Answer::Ready(()), "{segment} {part:?}");
    }
    for (segment, part) in [(104, None), (104, Some(2)), (105, None), (105, Some(0))] {
        let answer = window.reload(segment, part);
        assert_eq!(answer, Answer::Wait, "{segment} {part:?}");
    }
    for (segment, part) in [
        (106, None),
        (106, Some(0)),
        (104, Some(20)),
        (105, Some(20)),
    ] {
        assert!(refused(window.reload(segment, part)), "{segment} {part:?}");
    }
    part(&mut window, 4, 2);
    assert_eq!(window.reload(104, Some(2)), Answer::Ready(()));
    assert_eq!(window.reload(104, Some(3)), Answer::Wait);
    part(&mut window, 4, 3);
    assert_eq!(window.reload(104, Some(4)), Answer::Wait);
    assert_eq!(window.reload(104, None), Answer::Wait);
    part(&mut window, 5, 0);
    assert_eq!(window.reload(104, Some(4)), Answer::Ready(()));
    assert_eq!(window.reload(104, None), Answer::Ready(()));
}

#[test]
fn the_next_part_can_be_asked_for_before_it_is_there() {
    let mut window = window(4);
    part(&mut window, 4, 0);
    let data = |text: &str| Answer::Ready(text.as_bytes().to_vec().into());
    assert_eq!(window.part(104, 0), data("[4000]"));
    assert_eq!(window.part(104, 1), Answer::Wait);
    for (segment, part) in [(104, 2), (105, 0), (103, 4), (99, 0), (200, 0)] {
        let answer = window.part(segment, part);
        assert!(matches!(answer, Answer::Refused(_)), "{segment}.{part}");
    }
    (1..4).for_each(|index| part(&mut window, 4, index));
    assert_eq!(window.part(105, 0), Answer::Wait, "as the playlist says");
    assert_eq!(window.part(104, 4), Answer::Wait, "no key frame came");
    part(&mut window, 5, 0);
    assert!(matches!(window.part(104, 4), Answer::Refused(_)));
    assert_eq!(window.segment(103), data("[3000][3250][3500][3750]"));
    for segment in [0, 99, 105, 106] {
        assert!(matches!(window.segment(segment), Answer::Refused(_)));
    }
}

#[test]
fn only_the_latest_is_kept() {
    let window = window(1000);
    let text = window.playlist("").expect("a playlist");
    assert_eq!(window.open(), 1099);
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:1093\n"), "{text}");
    assert_eq!(text.matches("#EXTINF").count(), 6);
    assert_eq!(text.matches("#EXT-X-PART:").count(), 16);
    let kept = (0..2000).filter(|number| matches!(window.segment(*number), Answer::Ready(_)));
    assert_eq!(kept.collect::<Vec<_>>(), (1086..1099).collect::<Vec<_>>());
}

#[test]
fn a_segment_begins_with_a_key_frame_when_it_is_time() {
    let mut window = window(0);
    push(&mut window, 0, 250, false);
    assert!(
        matches!(window.part(100, 0), Answer::Wait),
        "no key frame yet"
    );
    push(&mut window, 250, 250, true);
    // Key frames that viewers request do not begin a segment.
    push(&mut window, 500, 100, true);
    push(&mut window, 600, 250, false);
    push(&mut window, 850, 250, false);
    assert_eq!(window.open(), 100);
    push(&mut window, 1100, 250, true);
    assert_eq!(window.open(), 101);
    // A missing key frame makes a segment longer.
    (0..9).for_each(|index| push(&mut window, 1350 + 250 * index, 250, false));
    assert_eq!(window.open(), 101);
    push(&mut window, 3600, 250, true);
    assert_eq!(window.open(), 102);
}

#[test]
fn parts_and_segments_are_whole_frames() {
    for framerate in 1..=120 {
        let Lengths {
            frame,
            part,
            segment,
        } = Lengths::at(framerate);
        let frames = |time: Duration| (time.as_secs_f64() * f64::from(framerate)).round() as u32;
        let (in_part, in_segment) = (frames(part - frame / 2), frames(segment));
        assert_eq!(in_segment % in_part, 0, "{framerate}");
        let seconds = segment.as_secs_f64();
        assert!((0.999..1.5).contains(&seconds), "{framerate}: {seconds}");
        if framerate >= 6 {
            let seconds = part.as_secs_f64();
            assert!((0.2..0.46).contains(&seconds), "{framerate}: {seconds}");
        }
        assert_eq!(Window::new(0, 0, Lengths::at(framerate)).target(), 1);
    }
}

#[test]
fn a_stream_that_has_ended_says_so() {
    let mut window = window(4);
    part(&mut window, 4, 0);
    window.end();
    part(&mut window, 4, 1);
    let text = window.playlist("").expect("a playlist");
    assert!(text.ends_with("104.m4s\n#EXT-X-ENDLIST\n"), "{text}");
    assert!(!text.contains("PRELOAD-HINT"), "{text}");
    // Requests for later parts do not wait after the end.
    assert_eq!(window.reload(200, Some(3)), Answer::Ready(()));
    assert_eq!(window.segment(104), Answer::Ready("[4000]".into()));
    assert!(matches!(window.part(104, 1), Answer::Refused(_)));
}
