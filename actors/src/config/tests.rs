//! What people write into `node.toml`, and what they are told.

use super::*;

fn path(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("node.toml")
}

fn read(text: impl AsRef<[u8]>) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(path(&folder), text).expect("writes");
    Config::read(&path(&folder)).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_said_has_its_default() {
    let config = read("name = \"a\"\nport = 4400\n").expect("is valid");
    assert_eq!(
        config,
        Config {
            name: "a".into(),
            port: 4400,
            ..Config::default()
        }
    );
    assert_eq!(read(config.to_toml().expect("writes")), Ok(config));
    assert_eq!(Config::default().bounds(), Bounds::default());
}

#[test]
fn a_mistake_names_the_file_the_line_and_the_field() {
    let good = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let head = "name = \"a\"\nport = 1\n";
    let cases = [
        (
            "name = \"a\"\nport = 4400\nprot = 1\n".to_string(),
            3,
            "prot",
        ),
        ("name = \"a\"\nport = \"x\"\n".into(), 2, "port"),
        ("name = \"a\"\nport = 70000\n".into(), 2, "port"),
        ("name = \"a\"\nport = -1\n".into(), 2, "port"),
        ("port = 1\n".into(), 1, "name"),
        ("name = \"../a\"\nport = 1\n".into(), 1, "`name`"),
        ("name = 7\nport = 1\n".into(), 1, "name"),
        (format!("{head}listen = \"moon\"\n"), 3, "listen"),
        (format!("{head}placement = \"moon\"\n"), 3, "placement"),
        (format!("{head}owners = [\"me\"]\n"), 3, "`owners`"),
        (
            format!(
                "{head}owners = [\n  \"{good}\",\n  \"{}\",\n]\n",
                &good[..30]
            ),
            5,
            "`owners`",
        ),
        (format!("{head}owners = \"{good}\"\n"), 3, "owners"),
        (
            format!("{head}allowed = [\"{good}\", \"{good}\"]\n"),
            3,
            "`allowed`",
        ),
        (format!("{head}allowed = [\"{good}x\"]\n"), 3, "`allowed`"),
        (format!("{head}[limits]\ndeadlin_ms = 1\n"), 4, "deadlin_ms"),
        (format!("{head}[admission]\nturns = 1\n"), 4, "turns"),
        (format!("{head}[[admission]]\n"), 3, "admission"),
        (format!("{head}name = \"b\"\n"), 3, "name"),
    ];
    for (text, line, field) in cases {
        let problem = read(&text).expect_err(&text);
        assert!(
            problem.contains("node.toml")
                && problem.contains(&format!("line {line}"))
                && problem.contains(field),
            "{text}: {problem}"
        );
    }
}

#[test]
fn a_number_out_of_its_range_names_the_line_the_field_and_the_range() {
    for (path, _, least, most) in check::ranges(&Config::default()) {
        let (table, field) = path.split_once('.').unwrap_or(("", path));
        let table = if table.is_empty() {
            String::new()
        } else {
            format!("[{table}]\n")
        };
        let head = format!("name = \"a\"\nport = 1\n{table}");
        let line = head.lines().count() + 1;
        for wrong in [i128::from(least) - 1, i128::from(most) + 1] {
            let text = format!("{head}{field} = {wrong}\n");
            let problem = read(&text).expect_err(&text);
            assert!(
                problem.contains(&format!("line {line}")) && problem.contains(field),
                "{text}: {problem}"
            );
        }
        for right in [least, most.min(u64::from(u32::MAX))] {
            read(format!("{head}{field} = {right}\n")).expect(path);
        }
    }
}

#[test]
fn what_is_no_text_or_no_file_or_too_large_is_named() {
    let told = read(b"name = \"a\"\nport = \xff\n").expect_err("is no text");
    assert!(told.contains("line 2") && told.contains("UTF-8"), "{told}");
    assert!(read("").expect_err("is empty").contains("name"));
    let folder = tempfile::tempdir().expect("a folder");
    let problem = |wanted: &str| {
        let told = Config::read(&path(&folder))
            .expect_err("is refused")
            .to_string();
        assert!(
            told.contains("node.toml") && told.contains(wanted),
            "{told}"
        );
    };
    problem("No such file");
    // A hundred megabytes that take no place on the disk.
    let large = std::fs::File::create(path(&folder)).expect("is made");
    large.set_len(100_000_000).expect("is long");
    problem("100000000 bytes");
    std::fs::remove_file(path(&folder)).expect("goes");
    std::fs::create_dir(path(&folder)).expect("is made");
    problem("not a file");
}
