//! The fence around sled: its errors, and its panics, become ours.
//!
//! sled 0.34 asserts much of what it reads from its files, and so panics where they are damaged.
//! Everything that reaches into it goes through [`Guard::run`]. After a panic sled's memory may be
//! inconsistent: the store poisons itself, and nothing of sled is trusted.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use super::error::StoreError;
use super::steps::{Step, Steps};

#[derive(Clone)]
pub(super) struct Guard {
    directory: Arc<PathBuf>,
    steps: Arc<dyn Steps>,
}

impl Guard {
    /// A guard whose errors name sled's `directory`.
    pub(super) fn new(directory: PathBuf, steps: Arc<dyn Steps>) -> Self {
        Self {
            directory: Arc::new(directory),
            steps,
        }
    }

    /// Who is told of the steps.
    pub(super) fn steps(&self) -> &dyn Steps {
        self.steps.as_ref()
    }

    /// Runs one use of sled that writes.
    pub(super) fn write<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        self.steps
            .before(Step::Sled(operation), &self.directory)
            .map_err(|source| StoreError::io(operation, self.directory.as_path(), source))?;
        self.run(operation, work)
    }

    /// A tree does not have the pages that were written to it.
    pub(super) fn incomplete(&self) -> StoreError {
        StoreError::Incomplete {
            directory: self.directory.to_path_buf(),
        }
    }

    /// Runs one use of sled.
    pub(super) fn run<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> sled::Result<T>,
    ) -> Result<T, StoreError> {
        match panic::catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(StoreError::Sled {
                operation,
                directory: self.directory.to_path_buf(),
                source: Box::new(source),
            }),
            Err(payload) => Err(StoreError::Panicked {
                operation,
                directory: self.directory.to_path_buf(),
                reason: reason(payload.as_ref()),
            }),
        }
    }
}

fn reason(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").to_owned()
}
