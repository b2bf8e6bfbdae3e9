//! Compiling what was uploaded, on threads that nobody has to wait for.
//!
//! The compiler cannot be interrupted. So it runs on a thread of its own, a few at a time, and is
//! given up after a while: the deploy is answered, the thread goes on until it ends, and keeps its
//! place until then. A node that stops does not wait for it: the thread has nothing of the node
//! but its engine.

use std::{sync::Arc, time::Duration};

use interstice_abi::failure::{Code, Failure};
use interstice_host::{limits::Limits, wasm::Binary};
use tokio::sync::{Semaphore, oneshot};

use super::installer::Installer;
use crate::directory::Reserved;

/// Modules that are compiled at a time. Each uses all cores already; the second place is for what
/// comes while a first one takes long.
const COMPILES_MAX: usize = 2;

/// How long one may take: several times what the largest binary that is allowed needs.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// The name of such a thread, for people who look at the process.
const THREAD: &str = "compile";

/// The places of modules that are being compiled.
#[derive(Clone)]
pub(crate) struct Compiles(Arc<Semaphore>);

impl Default for Compiles {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(COMPILES_MAX)))
    }
}

impl Installer {
    /// Compiles and checks a binary, and stores it.
    ///
    /// # Errors
    /// What is wrong with the binary; `Deadline` when it takes too long; `Unavailable` when it
    /// cannot be stored.
    pub(super) async fn prepare(
        &self,
        wasm: Vec<u8>,
        limits: Limits,
    ) -> Result<(Arc<Binary>, Reserved), Failure> {
        let wasm: Arc<[u8]> = wasm.into();
        let binary = self.compile(wasm.clone(), limits).await?;
        let directory = self.directory.clone();
        let (hash, schema) = (binary.hash, binary.schema.clone());
        let store = move || directory.store_module(&hash, &wasm, &schema);
        let stored = tokio::task::spawn_blocking(store).await;
        let reserved = stored.map_err(|panic| {
            Failure::internal(format!("storing the module has panicked: {panic}"))
        })??;
        Ok((binary, reserved))
    }

    /// Compiles and checks a binary.
    ///
    /// # Errors
    /// What is wrong with the binary; `Deadline` when it takes too long.
    pub(super) async fn compile(
        &self,
        wasm: Arc<[u8]>,
        limits: Limits,
    ) -> Result<Arc<Binary>, Failure> {
        let ended = || Failure::internal("the compiler has ended without a word");
        let place = self.compiles.0.clone().acquire_owned().await;
        let place = place.map_err(|_| ended())?;
        let engine = self.engine.clone();
        let (done, compiled) = oneshot::channel();
        let thread = std::thread::Builder::new().name(THREAD.to_string());
        let started = thread.spawn(move || {
            let result = engine.load(&wasm, &limits);
            drop(place);
            // The deploy may have been given up.
            let _ = done.send(result);
        });
        started.map_err(|error| {
            Failure::internal(format!(
                "a thread for the compiler cannot be started: {error}"
            ))
        })?;
        match tokio::time::timeout(COMPILE_TIME_MAX, compiled).await {
            Ok(result) => result.map_err(|_| ended())?,
            Err(_) => Err(Failure::new(
                Code::Deadline,
                format!(
                    "the module was not compiled within {} s and is given up; split its largest functions",
                    COMPILE_TIME_MAX.as_secs()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use interstice_host::wasm::Engine;

    use super::*;
    use crate::directory::Directory;

    /// A module that takes the compiler a while, and then turns out to describe nothing.
    fn slow() -> Vec<u8> {
        let body = "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 3)) (local.get 0)))";
        let function = format!("(func (param i32) {})", body.repeat(2000));
        let text = format!(
            "(module (memory (export \"memory\") 1)
             (func (export \"__interstice_describe__module\")) {})",
            function.repeat(100)
        );
        wat::parse_str(text).expect("is a module")
    }

    #[test]
    fn a_node_that_stops_does_not_wait_for_the_compiler() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("node.toml"), "").expect("is written");
        let directory = Directory::open(folder.path()).expect("opens");
        let installer = Installer {
            engine: Engine::new(None).expect("starts"),
            directory: Arc::new(directory),
            arbiters: Arc::default(),
            compiles: Compiles::default(),
        };
        let places = installer.compiles.0.clone();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let preparing = installer.clone();
        let wasm = slow();
        // What becomes of it is nobody's business any more.
        drop(
            runtime.spawn(async move { preparing.prepare(wasm, Limits::default()).await.is_ok() }),
        );
        while places.available_permits() == COMPILES_MAX {
            std::thread::yield_now();
        }
        drop((installer, runtime));
        assert_eq!(places.available_permits(), COMPILES_MAX - 1);
        // The folder is free for another process, though the compiler still works.
        Directory::open(folder.path()).expect("opens again");
    }
}
