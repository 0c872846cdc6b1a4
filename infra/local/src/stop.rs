//! The stop signal: given once, seen by many.

use tokio::sync::watch;

/// Gives the stop signal, also when it is dropped.
#[derive(Debug)]
pub struct StopSign(watch::Sender<bool>);

/// Waits for the stop signal.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl StopSign {
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    pub fn listener(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Stop {
    pub fn is_said(&self) -> bool {
        *self.0.borrow()
    }

    pub async fn said(&mut self) {
        // An error means that the sender is gone, which also means stop.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
