//! A process that is killed between any two steps of the store, while checkpoints, upgrades and
//! removals go on: what each such moment leaves is copied, and the copy must start and keep every
//! promise.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use interstice_actors::node::Ground;
use interstice_host::store::{Step, Steps};
use tempfile::TempDir;

use crate::{
    bank::{self, Ledger},
    common::world::copy_folder,
    log::{ground, prepared},
    shaky::Shaky,
    stride,
};

/// What one moment has left.
struct Moment {
    step: Step,
    folder: TempDir,
    directory: PathBuf,
    ledger: Ledger,
}

/// Copies the node's folder before each step.
struct Camera {
    directory: PathBuf,
    files: Shaky,
    /// What is acknowledged so far.
    ledger: Arc<Mutex<Ledger>>,
    moments: Mutex<(usize, Vec<Moment>)>,
}

impl Steps for Camera {
    fn before(&self, step: Step, _: &Path) -> std::io::Result<()> {
        let mut moments = self.moments.lock().expect("nobody panics here");
        moments.0 += 1;
        if !moments.0.is_multiple_of(stride(6)) {
            return Ok(());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let id = self.directory.file_name().expect("the node's id");
        let directory = folder.path().join(id);
        // Nothing is written meanwhile: the store waits for this, the log is held. So what is
        // asked for from here on is not in it.
        let ledger = self.files.meanwhile(|| {
            let ledger = self.ledger.lock().expect("nobody panics here").clone();
            copy_folder(&self.directory, &directory);
            ledger
        });
        moments.1.push(Moment {
            step,
            folder,
            directory,
            ledger,
        });
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_any_two_steps_of_the_store_the_next_start_keeps_every_promise() {
    let (mut world, begun) = prepared().await;
    let files = Shaky::default();
    let shared = Arc::new(Mutex::new(begun.clone()));
    let camera = Arc::new(Camera {
        directory: world.directory().to_path_buf(),
        files: files.clone(),
        ledger: shared.clone(),
        moments: Mutex::default(),
    });
    let watched = Ground {
        store_steps: camera.clone(),
        ..ground(files)
    };
    world.start_on(watched).await.expect("it starts");
    let peer = world.owner().await;
    let mut ledger = begun;
    for round in 0..6 {
        for _ in 0..3 {
            // Asked for before it can be there, acknowledged when it must be.
            let values = ledger.ask(5);
            *shared.lock().expect("nobody panics here") = ledger.clone();
            for value in values {
                let answer = peer.call("bank", "put", &[value]).await;
                ledger.note(value, answer).expect("the node works");
                *shared.lock().expect("nobody panics here") = ledger.clone();
            }
        }
        if round % 2 == 1 {
            // Its tables begin new trees; the old ones are dropped by a later checkpoint.
            let patch = u32::try_from(round).expect("fits");
            peer.install(&bank::upgrade(patch)).await;
        }
    }
    world.end().await.expect("it ends in order");
    let (steps, moments) = std::mem::take(&mut *camera.moments.lock().expect("is free"));
    let count = moments.len();
    for (number, moment) in moments.into_iter().enumerate() {
        let about = format!("moment {number} before {:?}", moment.step);
        let mut killed = world.at(moment.folder, moment.directory);
        let started = killed.start_on(ground(Shaky::default())).await;
        started.unwrap_or_else(|error| unreachable!("{about}: {error}"));
        let peer = killed.owner().await;
        let mut ledger = moment.ledger;
        ledger.check(&peer, &about).await;
        killed.end().await.expect("it ends in order");
    }
    println!("{steps} steps of the store, killed before {count} of them");
    assert!(count > 5);
}
