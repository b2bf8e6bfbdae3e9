//! [`Wakes`]: tasks that are woken when everybody has been answered.

use std::task::Waker;

/// Tasks that have something to do now. They are woken when all who waited for a block have been
/// answered: one that is woken before takes the core from the rest, sends the little that is
/// there, and has to be woken again.
#[derive(Debug, Default)]
pub struct Wakes(Vec<Waker>);

impl Wakes {
    /// One more, unless it is there.
    pub fn add(&mut self, task: Waker) {
        if !self.0.iter().any(|known| known.will_wake(&task)) {
            self.0.push(task);
        }
    }

    /// Wakes all of them.
    pub(super) fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_task_is_woken_once_and_at_the_end() {
        let tasks: [Arc<Task>; 2] = Default::default();
        let woken = || tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed));
        let mut wakes = Wakes::default();
        for task in tasks.iter().chain(&tasks) {
            wakes.add(Waker::from(task.clone()));
        }
        assert_eq!(woken(), [0, 0]);
        wakes.wake();
        assert_eq!(woken(), [1, 1]);
        wakes.add(Waker::from(tasks[0].clone()));
        drop(wakes);
        assert_eq!(woken(), [2, 1], "nobody is forgotten");
    }
}
