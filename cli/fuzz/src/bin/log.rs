//! Segments of a log: damage of any kind gives an error or a log whose records are a run of those
//! that were written, and which takes more. Blocks whose checksums are right although nobody wrote
//! them give no panic.
#![no_main]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock, Once, mpsc},
    time::Duration,
};

use interstice_fuzz::{
    disk::{DIRECTORY, Disk, Files},
    memory,
};
use interstice_host::log::{Log, LogError, LogOptions, LogPosition, examine};
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};

static BEGIN: Once = Once::new();
static WRITTEN: LazyLock<[Written; 3]> = LazyLock::new(|| [write(0, 1), write(4, 1), write(13, 3)]);

/// Segments and blocks so small that a few records show everything.
const SMALL: LogOptions = LogOptions {
    segment_bytes: 1 << 10,
    block_bytes_max: 300,
    unwaited_for: Duration::ZERO,
};

/// A log as its writer left it.
struct Written {
    files: Files,
    records: BTreeMap<LogPosition, Vec<u8>>,
}

fuzz_target!(|data: &[u8]| {
    BEGIN.call_once(|| memory::limit(32 * 1024 * 1024));
    // An input that is too short to choose is none.
    let _ = run(data);
});

fn run(data: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(data);
    let how = usize::from(input.arbitrary::<u8>()? % 4);
    let Some(written) = WRITTEN.get(how) else {
        forged(&mut input)?;
        return Ok(());
    };
    let mut files = written.files.clone();
    while !input.is_empty() && damage(&mut files, &mut input).is_ok() {}
    check(&files, Some(&written.records));
    Ok(())
}

/// Opens a log as it lies there, reads all of it and adds to it.
fn check(files: &Files, written: Option<&BTreeMap<LogPosition, Vec<u8>>>) {
    let disk = Disk::of(files.clone());
    let directory = Path::new(DIRECTORY);
    let examined = examine(directory, &disk);
    assert_eq!(disk.files(), *files, "looking changes nothing");
    let (log, opened) = match Log::open(directory, Arc::new(disk.clone()), SMALL) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(examined.is_err() || written.is_none(), "{error}");
            return;
        }
    };
    let examined = examined.expect("a log that opens can be looked through");
    assert_eq!(
        (examined.start(), examined.end()),
        (opened.start, opened.end)
    );
    assert_eq!(examined.cut, opened.cut);
    let read: std::result::Result<Vec<_>, LogError> = log.read(opened.start).collect();
    let Some(written) = written else {
        return;
    };
    let mut all = read.expect("what was checked on opening can be read");
    let expected = written.range(opened.start..opened.end);
    assert!(
        expected.eq(all.iter().map(|(position, record)| (position, record))),
        "a record came back that was not written, or one is missing"
    );
    log.append(b"afterwards".to_vec());
    let end = sync(&log).expect("a log that opens takes more");
    assert!(end > opened.end);
    log.close().expect("closes");
    let (log, again) = Log::open(directory, Arc::new(disk), SMALL).expect("opens again");
    assert_eq!(
        (again.cut, again.start, again.end),
        (None, opened.start, end)
    );
    let longer: Vec<_> = log
        .read(again.start)
        .map(|one| one.expect("reads"))
        .collect();
    all.push((
        longer.last().map_or(end, |(position, _)| *position),
        b"afterwards".to_vec(),
    ));
    assert_eq!(longer, all);
}

/// Does one thing to the files.
fn damage(files: &mut Files, input: &mut Unstructured<'_>) -> Result<()> {
    let names: Vec<String> = files.keys().cloned().collect();
    let kind = input.arbitrary::<u8>()? % 8;
    if kind == 7 {
        let name = format!("{:020}.log", input.arbitrary::<u16>()?);
        let length = input.arbitrary::<u8>()?;
        files.insert(
            name,
            input.bytes(usize::from(length).min(input.len()))?.to_vec(),
        );
        return Ok(());
    }
    let name = input.choose(&names)?.clone();
    let Some(mut file) = files.remove(&name) else {
        return Ok(());
    };
    let at = usize::from(input.arbitrary::<u16>()? % 2048).min(file.len());
    let length = usize::from(input.arbitrary::<u16>()? % 1024);
    let end = (at + length).min(file.len());
    match kind {
        0 | 1 => {
            if let Some(byte) = file.get_mut(at) {
                *byte ^= u8::try_from(length % 255).unwrap_or(0) + 1;
            }
        }
        2 => {
            let bytes = input.bytes((length % 32).min(input.len()))?;
            for (to, from) in file.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        }
        3 => file.truncate(at),
        4 => file
            .iter_mut()
            .take(end)
            .skip(at)
            .for_each(|byte| *byte = 0),
        5 => {
            let part: Vec<u8> = file.get(at..end).unwrap_or_default().to_vec();
            let to = usize::from(input.arbitrary::<u16>()? % 2048).min(file.len());
            file.splice(to..(to + part.len()).min(file.len()), part);
        }
        _ if length % 2 == 0 => return Ok(()),
        _ => {
            let other = input.choose(&names)?.clone();
            if let Some(bytes) = files.insert(other, file) {
                file = bytes;
            } else {
                return Ok(());
            }
        }
    }
    files.insert(name, file);
    Ok(())
}

/// One segment whose checksums are right, with any content.
fn forged(input: &mut Unstructured<'_>) -> Result<()> {
    let first: u64 = if input.arbitrary()? {
        u64::MAX - u64::from(input.arbitrary::<u16>()?)
    } else {
        input.arbitrary()?
    };
    let mut bytes = b"ISTCELOG\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend(first.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(input.arbitrary::<u64>()?.to_le_bytes());
    let mut previous = checksum(&[&bytes]);
    bytes.extend(previous);
    previous = [0; 16];
    let mut position = first;
    while !input.is_empty() {
        let length = usize::from(input.arbitrary::<u8>()?);
        let records = input.bytes(length.min(input.len()))?;
        let claimed = match input.arbitrary::<u8>().unwrap_or(0) {
            0 => input.arbitrary::<u64>().unwrap_or(u64::MAX),
            1 => 63,
            _ => records.len() as u64 + 64,
        };
        let mut header = claimed.to_le_bytes().to_vec();
        header.extend(input.arbitrary::<u64>().unwrap_or(u64::MAX).to_le_bytes());
        header.extend(previous);
        header.extend(checksum(&[records]));
        previous = checksum(&[&position.to_le_bytes(), &header]);
        bytes.extend(header);
        bytes.extend(previous);
        bytes.extend(records);
        position = position.wrapping_add(records.len() as u64 + 64);
    }
    bytes.extend([0; 100]);
    check(&Files::from([(format!("{first:020}.log"), bytes)]), None);
    Ok(())
}

fn checksum(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let hash = hasher.finalize();
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

fn sync(log: &Log) -> std::result::Result<LogPosition, LogError> {
    let (sender, receiver) = mpsc::channel();
    log.when_durable(Box::new(move |result| drop(sender.send(result))));
    receiver.recv().expect("a waiter is always answered")
}

/// A log of `count` records, a block per `together` of them.
fn write(count: u64, together: u64) -> Written {
    let disk = Disk::default();
    let opened = Log::open(Path::new(DIRECTORY), Arc::new(disk.clone()), SMALL);
    let (log, _) = opened.expect("an empty log opens");
    for number in 0..count {
        let length = usize::try_from(number * 7 % 60).expect("is small");
        log.append(vec![u8::try_from(number).expect("is small"); length]);
        if number % together == 0 {
            sync(&log).expect("memory takes everything");
        }
    }
    sync(&log).expect("memory takes everything");
    let records = log.read(LogPosition(0)).map(|one| one.expect("reads"));
    let records = records.collect();
    log.close().expect("closes");
    Written {
        files: disk.files(),
        records,
    }
}
