// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A pool of client entities. An entity has one transaction open at a time, so calls at the same time
//! need several.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Client, Entity, Request, Response, Result};

/// Client entities for calls at the same time, made when they are needed and kept.
///
/// ```no_run
/// use vmtp::{Client, Entity, Pool, Request};
///
/// # fn main() -> vmtp::Result<()> {
/// let server: Entity = "LE-70000-10.0.0.1".parse().unwrap();
/// let pool = Pool::new(8, Client::new);
/// std::thread::scope(|scope| {
///     for part in 0..100_u32 {
///         let pool = &pool;
///         scope.spawn(move || pool.call(server, &Request::new(0x80_0001).user_words([part, 0, 0])));
///     }
/// });
/// # Ok(())
/// # }
/// ```
pub struct Pool {
    make: Box<dyn Fn() -> Result<Client> + Send + Sync>,
    most: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Arc<Client>>,
    /// Those in use and the idle ones.
    made: usize,
}

impl Pool {
    /// A pool of at most so many clients (at least one), each made by `make`, which may set limits
    /// and options.
    pub fn new(most: usize, make: impl Fn() -> Result<Client> + Send + Sync + 'static) -> Pool {
        Pool {
            make: Box::new(make),
            most: most.max(1),
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    /// As [`Client::call`], with whichever client is free; waits until one is. A call that a signal
    /// interrupts is ended.
    pub fn call(&self, server: Entity, request: &Request<'_>) -> Result<Response> {
        self.get()?.call(server, request)
    }

    /// A client for a while; waits until one is free. Fails if there is none and none can be made.
    pub fn get(&self) -> Result<PooledClient<'_>> {
        let mut state = self.lock();
        loop {
            if let Some(client) = state.idle.pop() {
                return Ok(PooledClient { pool: self, client });
            }
            if state.made < self.most {
                break;
            }
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.made += 1;
        drop(state);
        let place = Place(self);
        let client = Arc::new((self.make)()?);
        std::mem::forget(place);
        Ok(PooledClient { pool: self, client })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a client that is not made yet. Dropped, it is free for another.
struct Place<'p>(&'p Pool);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.made = state.made.saturating_sub(1);
        drop(state);
        self.0.returned.notify_one();
    }
}

/// A client of a [`Pool`], which goes back when this is dropped. What it left open is then ended.
#[derive(Debug)]
pub struct PooledClient<'p> {
    pool: &'p Pool,
    client: Arc<Client>,
}

impl Deref for PooledClient<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for PooledClient<'_> {
    fn drop(&mut self) {
        if self.client.abort().is_err() {
            drop(Place(self.pool)); // It is of no more use, as a socket that was moved.
            return;
        }
        self.pool.lock().idle.push(Arc::clone(&self.client));
        self.pool.returned.notify_one();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Pool")
            .field("most", &self.most)
            .field("made", &state.made)
            .field("idle", &state.idle.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_client_that_cannot_be_made_leaves_its_place_to_the_next() {
        let pool = Pool::new(1, || Err(Error::NotLoaded));
        for _ in 0..3 {
            assert!(matches!(pool.get(), Err(Error::NotLoaded)));
        }
        assert_eq!(pool.lock().made, 0);
        let pool = Pool::new(1, || panic!("making it fails"));
        for _ in 0..2 {
            let made =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.get().is_ok()));
            assert!(made.is_err());
        }
        assert_eq!(pool.lock().made, 0);
    }
}
