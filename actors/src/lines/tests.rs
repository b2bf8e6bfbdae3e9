//! Lines in memory, in the file, across restarts, and with those who follow.

use super::*;

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn a_long_text_is_cut_between_characters() {
    let text = cut(&"ä".repeat(TEXT_BYTES_MAX));
    assert!(text.len() < TEXT_BYTES_MAX + 64);
    assert!(text.ends_with("bytes were cut)"));
}

#[test]
fn the_tail_is_of_the_wanted_module() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = Lines::open(&folder.path().join("node.log")).expect("opens");
    let name = ModuleName::new("m").expect("a name");
    lines.message(None, None, "node");
    for number in 0..5 {
        lines.message(Some(&name), None, &number.to_string());
    }
    let tail = lines.kept(Some(&name), Begin::Tail(2)).expect("is there");
    assert_eq!(texts(&tail), ["3", "4"]);
    assert_eq!(
        lines.kept(None, Begin::Tail(100)).expect("is there").len(),
        6
    );
    let file = fs::read_to_string(folder.path().join("node.log")).expect("is there");
    assert_eq!(file.lines().count(), 6);
}

#[test]
fn lines_are_there_after_a_restart_and_their_numbers_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.log");
    let lines = Lines::open(&path).expect("opens");
    lines.message(None, None, "one");
    lines.error(None, Some(Seq(3)), "two\nlines");
    let before = lines.kept(None, Begin::Tail(9)).expect("is there");
    drop(lines);
    let lines = Lines::open(&path).expect("opens");
    lines.message(None, None, "three");
    let after = lines.kept(None, Begin::Tail(9)).expect("is there");
    assert_eq!(after.get(..2), Some(before.as_slice()));
    let numbers: Vec<u64> = after.iter().map(|line| line.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let resumed = lines.kept(None, Begin::After(1)).expect("is there");
    assert_eq!(texts(&resumed), ["two\nlines", "three"]);
}

#[test]
fn the_file_rotates_and_memory_is_bounded_and_what_is_too_old_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.log");
    let lines = Lines::open(&path).expect("opens");
    let long = "x".repeat(60_000);
    for _ in 0..400 {
        lines.message(None, None, &long);
    }
    let (old, new) = (rotated(&path), &path);
    let length = |path: &Path| fs::metadata(path).expect("is there").len();
    assert!(length(&old) > FILE_BYTES_MAX && length(&old) < FILE_BYTES_MAX + 100_000);
    assert!(length(new) < FILE_BYTES_MAX);
    assert!(lines.state().kept.bytes <= KEPT_BYTES);
    assert_eq!(
        lines
            .kept(None, Begin::After(9))
            .map_err(|failure| failure.code),
        Err(Code::NotFound)
    );
    assert_eq!(
        lines.kept(None, Begin::After(399)).expect("is there").len(),
        1
    );
    drop(lines);
    let lines = Lines::open(&path).expect("opens");
    let last = lines.kept(None, Begin::Tail(1)).expect("is there");
    assert_eq!(last.first().map(|line| line.number), Some(400));
}

#[test]
fn a_follower_that_does_not_read_is_told_where_to_resume_and_misses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = Lines::open(&folder.path().join("node.log")).expect("opens");
    let replies = Replies::new(1 << 30, 10_000);
    replies.begun(1);
    lines
        .follow((replies.clone(), 1, 7), None, Begin::Tail(9), u64::MAX)
        .expect("follows");
    for number in 0..300 {
        lines.message(None, None, &format!("{number} {}", "x".repeat(100)));
    }
    assert!(replies.is_idle(), "it has ended");
    let sent = sent_to(&replies);
    let (notice, told) = sent.split_last().expect("something was sent");
    let told: Vec<u64> = told
        .iter()
        .flat_map(|response| match &response.body {
            Ok(ResponseBody::Log(lines)) => {
                lines.iter().map(|line| line.number).collect::<Vec<u64>>()
            }
            other => unreachable!("{other:?}"),
        })
        .collect();
    let last = told.last().copied().expect("some were");
    assert_eq!(told, (1..=last).collect::<Vec<u64>>());
    let failure = notice.body.as_ref().expect_err("a notice");
    assert!(
        failure.message.ends_with(&format!("--from {last}")),
        "{failure}"
    );
    let rest = lines.kept(None, Begin::After(last)).expect("is there");
    assert_eq!(rest.first().map(|line| line.number), Some(last + 1));
    assert_eq!(rest.last().map(|line| line.number), Some(300));
}

/// All that was sent.
fn sent_to(replies: &Replies) -> Vec<Response> {
    use interstice_client::frame::Decoder;
    let mut written = Vec::new();
    replies.outbox().finish();
    let writing = replies
        .outbox()
        .write_to(&mut written, std::time::Duration::from_secs(5));
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("runs")
        .block_on(writing)
        .expect("writes");
    let mut decoder = Decoder::<Response>::new(u32::MAX);
    decoder.extend(&written);
    let mut all = Vec::new();
    while let Some((response, _)) = decoder.message().expect("is whole") {
        all.push(response);
    }
    all
}
