//! Writes the first inputs of every target below `corpus/`, made with the encoders whose decoders
//! are fuzzed. What fuzzing has found is added there by hand.

use std::{fs, path::Path};

use interstice_abi::{
    binding::{ModuleBinding, NodeBinding},
    failure::{Code, Failure},
    id::{NodeId, Position, Seq},
    schema::{Description, ModuleSchema, Version},
    wire::{
        Ack, Called, LogsMode, Request, RequestBody, Response, ResponseBody, RowFilter, RowsPage,
        Standing, WatchEvent, WatchedChange, Welcome,
    },
};
use interstice_actors::config::Config;
use interstice_client::{Identity, frame};
use interstice_fuzz::guest;
use interstice_host::schema;
use libfuzzer_sys::arbitrary::Unstructured;

fn main() {
    frames();
    values();
    texts();
    modules();
    storage();
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join(name), bytes).expect("the file can be written");
}

/// Two bytes that say who reads in which pieces, then frames.
fn frames() {
    let mut requests = vec![0, 255];
    let bodies = [
        RequestBody::Hello {
            agent: "interstice-cli 0.5.0".into(),
        },
        RequestBody::Ping,
        RequestBody::Call {
            module: "hello@0".into(),
            reducer: "hello".into(),
            arguments: vec![3, b'B', b'o', b'b'],
            ack: Ack::Applied,
        },
        RequestBody::Rows {
            module: "hello".into(),
            table: "greetings".into(),
            after: Some(vec![1, 2]),
            limit: 100,
            filter: Some(RowFilter {
                column: "id".into(),
                value: vec![7],
            }),
        },
        RequestBody::Watch {
            module: "hello".into(),
            table: "greetings".into(),
            from: Some(Position::default()),
        },
        RequestBody::Logs {
            module: None,
            tail: 10,
            after: None,
            follow: LogsMode::Follow,
        },
        RequestBody::UploadBegin {
            bytes: 70_000,
            hash: [9; 32],
        },
        RequestBody::UploadChunk {
            bytes: vec![0; 100],
        },
        RequestBody::Stop,
    ];
    for (id, body) in (0..).zip(bodies) {
        frame::encode(&Request { id, body }, &mut requests).expect("fits in a frame");
    }
    write("frames", "requests", &requests);
    requests.splice(..2, [2, 2]);
    write("frames", "requests_in_pieces", &requests);
    write("frames", "too_long", &[0, 9, 255, 255, 255, 255, 0]);
    write("frames", "long_claim", &[2, 9, 255, 255, 255, 3, 0]);
    responses();
}

fn responses() {
    let mut responses = vec![3, 63];
    let welcome = Welcome {
        node: NodeId::from("12D3KooW"),
        name: "home".into(),
        version: Version::default(),
        standing: Standing::Owner,
    };
    let called = Called {
        seq: Seq(9),
        failed: 0,
        dropped: 1,
    };
    let change = WatchedChange {
        position: Position::default(),
        before: None,
        after: Some(vec![1, 0]),
    };
    let page = RowsPage {
        rows: vec![vec![1, 0], vec![2, 0]],
        next: Some(vec![2]),
        seq: Seq(9),
    };
    let bodies = [
        Ok(ResponseBody::Welcome(welcome)),
        Ok(ResponseBody::Done),
        Ok(ResponseBody::Called(called)),
        Ok(ResponseBody::Rows(page)),
        Ok(ResponseBody::Watch(WatchEvent::Changes(vec![change]))),
        Ok(ResponseBody::Schema(accepted())),
        Err(Failure::new(Code::Busy, "try again")),
    ];
    for (id, body) in (0..).zip(bodies) {
        frame::encode(&Response { id, body }, &mut responses).expect("fits in a frame");
    }
    write("frames", "responses", &responses);
}

/// A type's choices, then what the target reads as that type.
fn values() {
    let rows: [(&str, &[u8]); 7] = [
        (
            "numbers",
            &[21, 4, 5, 11, 6, 1, 4, 0, 1, 2, 1, 0x80, 1, 3, 4, 0],
        ),
        ("texts", &[14, 3, 2, b'a', 0, 3, b'a', 0, b'b']),
        ("bytes", &[15, 2, 3, 2, 0, 255, 2, 0, 1]),
        ("options", &[18, 18, 10, 3, 1, 1, 7, 1, 0]),
        ("units", &[15, 0, 5, 0x80, 0x80, 4]),
        ("tree", &[26, 4, 9, 2, 3, 0, 0, 3, 5, 1, 0]),
        (
            "array",
            &[24, 3, 12, 12, 0, 0, 128, 63, 0, 0, 0, 0, 0, 0, 192, 127],
        ),
    ];
    for (name, bytes) in rows {
        write("rows", name, bytes);
    }
    let words: [(&str, &[u8], &str); 10] = [
        ("number", &[5], "18446744073709551615"),
        (
            "negative",
            &[11],
            "\"-170141183460469231731687303715884105728\"",
        ),
        ("float", &[13], "-1.5e300"),
        ("infinite", &[12], "\"-inf\""),
        ("word", &[14], "Bob"),
        ("bytes", &[15, 2], "\"AAECAw==\""),
        ("option", &[18, 18, 5], "{\"Some\": null}"),
        ("list", &[15, 14], "[\"a\", \"\\u0000\\n\"]"),
        (
            "person",
            &[26, 2],
            "{\"name\": \"a\", \"age\": 3, \"next\": {\"name\": \"b\"}}",
        ),
        (
            "tree",
            &[26, 4],
            "{\"Many\": [\"Leaf\", {\"One\": 1.5}, {\"Two\": [1, null]}, {\"Named\": {\"shade\": \"Dark\"}}]}",
        ),
    ];
    for (name, ty, word) in words {
        write("json", name, &[ty, word.as_bytes()].concat());
    }
}

fn texts() {
    let events = [
        "init",
        "a.insert",
        "m-x.a.update",
        "n.m.a.delete",
        "n.m.a.sync",
        "hello-example.hello.call",
        "file:a/b.txt",
        "file_recursive:.",
        "localhost:4400",
        "[::1]:4400",
        "/ip4/127.0.0.1/tcp/4400",
        "/dns/example.org/tcp/4400",
    ];
    for (number, event) in events.iter().enumerate() {
        write("events", &format!("{number:02}"), event.as_bytes());
    }
    let module = ModuleBinding::of(&accepted());
    let text = toml::to_string(&module).expect("a binding can be written");
    write("bindings", "module", text.as_bytes());
    let node = NodeBinding {
        name: "other".into(),
        address: "localhost:4400".into(),
        id: None,
        alias: Some("far".into()),
        modules: vec![module],
    };
    let text = toml::to_string(&node).expect("a binding can be written");
    write("bindings", "node", text.as_bytes());
    let older = "abi_version = 6\nname = \"a-b\"\nauthorities = [\"Gpu\"]\nversion = { major = 0, minor = 2, patch = 1 }\n[[reducers]]\nname = \"r\"\n[[reducers.reads]]\nnode_selection = \"Current\"\nmodule_selection = { Other = \"b\" }\ntable_name = \"t\"\n[[subscriptions]]\nreducer_name = \"r\"\n[type_definitions.E.Enum]\nname = \"E\"\nvariants = [{ name = \"A\" }, { name = \"B\", field_type = { Tuple = [\"U8\", { Vec = \"String\" }] } }]\n";
    write("bindings", "older", older.as_bytes());
    let identity = Identity::generate();
    let id = identity.id();
    let config = Config {
        name: "home".into(),
        port: 4400,
        owners: vec![id.clone()],
        ..Config::default()
    };
    let text = config.to_toml().expect("a configuration can be written");
    write("configs", "node", text.as_bytes());
    write("configs", "short", b"name = \"a\"\nport = 1\n");
    let nodes = format!(
        "[[nodes]]\nname = \"home\"\naddress = \"localhost:4400\"\nid = \"{}\"\n",
        id
    );
    write("configs", "nodes", nodes.as_bytes());
}

fn accepted() -> ModuleSchema {
    schema::assemble(all()).expect("the small module is right")
}

fn all() -> Vec<Description> {
    guest::described().into_iter().map(|(_, one)| one).collect()
}

fn modules() {
    let bytes = |one: &Description| postcard::to_allocvec(one).expect("a vector takes it");
    write(
        "schemas",
        "whole",
        &all().iter().map(bytes).collect::<Vec<_>>().concat(),
    );
    write(
        "schemas",
        "header",
        &all().iter().take(1).map(bytes).collect::<Vec<_>>().concat(),
    );
    let right = guest::binary(&mut Unstructured::new(&[0])).expect("has no choices to make");
    write("modules", "whole", &right);
    for (name, text) in [
        ("empty", "(module)"),
        ("memory", "(module (memory (export \"memory\") 1))"),
        (
            "import",
            "(module (import \"interstice\" \"panic\" (func (param i32 i32))) (memory (export \"memory\") 1) (func (export \"__interstice_describe__module\") unreachable))",
        ),
        (
            "start",
            "(module (memory (export \"memory\") 1 2) (table 3 funcref) (global (mut i64) (i64.const 1)) (func $s nop) (start $s) (elem (i32.const 0) $s))",
        ),
    ] {
        write(
            "modules",
            name,
            &wat::parse_str(text).expect("is WebAssembly"),
        );
    }
    write("deploys", "right", &[0]);
    for bend in [3_u8, 15, 31] {
        write(
            "deploys",
            &format!("bent_{bend}"),
            &[[0; 30].as_slice(), &[bend; 90]].concat(),
        );
    }
}

fn storage() {
    let logs: [(&str, &[u8]); 6] = [
        ("whole", &[1]),
        ("flipped", &[2, 0, 0, 100, 0, 3, 0]),
        ("short", &[2, 3, 3, 0, 2, 0, 0]),
        ("moved", &[2, 5, 0, 64, 0, 128, 0, 1, 0]),
        ("file", &[0, 7, 5, 0, 4, 1, 2, 3, 4]),
        (
            "forged",
            &[
                3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 4, 1, 9, 1, 8, 2, 0, 0, 0, 0,
                0, 0, 0, 0,
            ],
        ),
    ];
    for (name, bytes) in logs {
        write("log", name, bytes);
    }
    let backups: [(&str, &[u8]); 5] = [
        ("short", &[0, 0, 2, 0, 0]),
        ("foreign", b"\x01backup         \x02"),
        (
            "blocks",
            &[2, 12, 4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 1, 2, 2],
        ),
        ("item", &[3, 1, 5, 3, 0, 1, 0, 7, 0]),
        ("base", &[4, 2, 4, 0, 0, 1, 2, 9, 9]),
    ];
    for (name, bytes) in backups {
        write("backups", name, bytes);
    }
    let pages: [(&str, &[u8]); 4] = [
        (
            "notes",
            &[
                1, 0, 0, 14, 1, 5, 1, 2, b'h', b'i', 4, 6, 2, 1, b'a', 1, 0, 0,
            ],
        ),
        (
            "counter",
            &[
                1, 1, 9, 5, b'n', b'o', b't', b'e', b's', 2, b'i', b'd', 1, 9,
            ],
        ),
        ("people", &[1, 2, 0, 6, 1, 4, 1, b'a', 0, 1]),
        ("foreign", &[1, 5, 1, 7, 1, 0]),
    ];
    for (name, bytes) in pages {
        write("pages", name, bytes);
    }
    let mut marker = vec![1];
    marker.extend(b"ISTCEMRK");
    marker.extend(1_u64.to_le_bytes());
    marker.extend([0; 24]);
    marker.extend(b"position");
    write("markers", "whole", &marker);
    marker.splice(17..25, 5_u64.to_le_bytes());
    write("markers", "ahead", &marker);
    write("markers", "short", b"\0ISTCEMRK");
}
