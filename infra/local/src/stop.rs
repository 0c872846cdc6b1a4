//! The word to stop, said once and heard by many.

use tokio::sync::watch;

/// Says stop. When it is dropped, that is said too.
#[derive(Debug)]
pub struct StopSign(watch::Sender<bool>);

/// Hears it.
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
        // An error means that nobody is left who could say it.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
