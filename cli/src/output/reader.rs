//! Whether anybody reads standard output: a command that waits for what comes would not notice
//! otherwise that the reader of its pipe has gone (`watch … | head -1`).

/// Waits until the other end of standard output is closed. Where the system cannot tell, and for
/// files, it never is.
pub async fn reader_has_gone() {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use tokio::{io::Interest, net::unix::pipe::Sender};
        // Nothing is written to the copy, so it may block. A file cannot be waited for.
        let copy = std::io::stdout().as_fd().try_clone_to_owned();
        if let Ok(output) = copy.and_then(Sender::from_owned_fd_unchecked)
            && output.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
    }
    std::future::pending().await
}
