//! A network for tests: names from a literal zone, answers from a table, and every connection
//! written down.

use super::{Finder, Options, Vet, World};
use crate::base::BoxFuture;
use crate::base::clock::{ManualClock, Timer, UnixTime};
use crate::base::fetch::{Fetch, FetchError, FetchRequest, Fetched};
use crate::dns::{Lookup, Mx, Name, Resolver, Zone};
use base64::Engine;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When tests begin: after the certificates in them were made.
pub const NOW: UnixTime = UnixTime(1_796_000_000);

/// How long a search may take.
pub const TIME_MAX: Duration = Duration::from_secs(10);

type Handler = Box<dyn Fn(&FetchRequest) -> Result<Fetched, FetchError> + Send + Sync>;

/// A network whose names and answers can be changed at any time.
pub struct TestNet {
    /// The time.
    pub clock: Arc<ManualClock>,
    zone: Mutex<Zone>,
    web: Mutex<Handler>,
    asked: Mutex<Vec<FetchRequest>>,
    resolved: Mutex<Vec<String>>,
    at_once: Mutex<(usize, usize)>,
    /// Answers never come, and limits of up to [`TestNet::passed`] run out.
    pub stuck: Mutex<bool>,
    /// How much time passes while answers do not come.
    pub passed: Mutex<Duration>,
    /// Answers let others run before they come.
    pub slow: Mutex<bool>,
}

impl TestNet {
    /// Names from `zone`; every web server says 404.
    pub fn new(zone: &str) -> Arc<TestNet> {
        Arc::new(TestNet {
            clock: Arc::new(ManualClock::new(NOW)),
            zone: Mutex::new(Zone::parse(zone).unwrap()),
            web: Mutex::new(Box::new(|_| Ok(status(404)))),
            asked: Mutex::default(),
            resolved: Mutex::default(),
            at_once: Mutex::default(),
            stuck: Mutex::default(),
            passed: Mutex::new(TIME_MAX),
            slow: Mutex::default(),
        })
    }

    /// Exchanges the names.
    pub fn set_zone(&self, zone: &str) {
        *lock(&self.zone) = Zone::parse(zone).unwrap();
    }

    /// Exchanges the web servers.
    pub fn set_web(
        &self,
        handler: impl Fn(&FetchRequest) -> Result<Fetched, FetchError> + Send + Sync + 'static,
    ) {
        *lock(&self.web) = Box::new(handler);
    }

    /// Every question about a key is answered with `body`.
    pub fn serve(&self, body: &[u8]) {
        let body = body.to_vec();
        self.set_web(move |_| Ok(Fetched { status: 200, body: body.clone(), ..status(200) }));
    }

    /// Takes out the connections that were made.
    pub fn asked(&self) -> Vec<FetchRequest> {
        std::mem::take(&mut lock(&self.asked))
    }

    /// Takes out the names whose addresses were asked for.
    pub fn resolved(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.resolved))
    }

    /// The most questions that were open at once.
    pub fn most_at_once(&self) -> usize {
        lock(&self.at_once).1
    }

    /// A finder in this network that may ask what `vet` allows.
    pub fn finder(self: &Arc<Self>, vet: Vet) -> Finder {
        let options = Options { vet, https_port: 443, time_max: TIME_MAX };
        Finder::new(self.world(), options)
    }

    /// This network as a finder's world. The timer fires when answers are stuck and only then.
    pub fn world(self: &Arc<Self>) -> World {
        let clock = Arc::clone(&self.clock) as _;
        World { resolver: self.clone(), fetch: self.clone(), clock, timer: self.clone() }
    }
}

/// An answer without a body.
pub fn status(status: u16) -> Fetched {
    Fetched { status, ..Fetched::default() }
}

/// A redirect.
pub fn redirect(location: &str) -> Fetched {
    Fetched { location: Some(location.into()), ..status(302) }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resolver for TestNet {
    fn addresses<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<IpAddr>> {
        lock(&self.resolved).push(name.to_string());
        let zone = lock(&self.zone).clone();
        Box::pin(async move { zone.addresses(name).await })
    }

    fn mx<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Mx>> {
        let zone = lock(&self.zone).clone();
        Box::pin(async move { zone.mx(name).await })
    }

    fn txt<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Vec<u8>>> {
        let zone = lock(&self.zone).clone();
        Box::pin(async move { zone.txt(name).await })
    }
}

impl Fetch for TestNet {
    fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        let answer = lock(&self.web)(&request);
        lock(&self.asked).push(request);
        let (stuck, slow) = (*lock(&self.stuck), *lock(&self.slow));
        Box::pin(async move {
            {
                let (now, most) = &mut *lock(&self.at_once);
                *now += 1;
                *most = (*most).max(*now);
            }
            if stuck {
                std::future::pending::<()>().await;
            }
            for _ in 0..if slow { 20 } else { 0 } {
                tokio::task::yield_now().await;
            }
            lock(&self.at_once).0 -= 1;
            answer
        })
    }
}

impl Timer for TestNet {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        match *lock(&self.stuck) && duration <= *lock(&self.passed) {
            true => Box::pin(std::future::ready(())),
            false => Box::pin(std::future::pending()),
        }
    }
}

/// A certificate of expired@peer.example that has expired, made by GnuPG 2.2.40.
pub const EXPIRED: &str = "\
    mDMEZ3SFgBYJKwYBBAHaRw8BAQdA86Z1ECVZNWZ3A/DZzqlSN5w6mWo73dt9xrgfXcwmsoq0FGV4cGlyZWRAcGVl\
    ci5leGFtcGxliJYEExYIAD4WIQSaD+rYA/YpsmSsdUI8D1/41YNQjwUCZ3SFgAIbAwUJACeNAAULCQgHAgYVCgkI\
    CwIEFgIDAQIeAQIXgAAKCRA8D1/41YNQjydZAP4yQAqOZlo7KqEQiwYysdf9mMX9lNbmsgtcDWjUtYDajQD6Ain0\
    6o2STpQlD4heiPxlAju7HtQBsX6akUHsV8zT3Aw=\
    ";

/// A certificate of revoked@peer.example that was revoked, made by GnuPG 2.2.40.
pub const REVOKED: &str = "\
    mDMEawblYBYJKwYBBAHaRw8BAQdAHHkMRejHlps0IIIWH0T3AHXJK4sD6w+BIhwjmUyl/FKIeAQgFggAIBYhBFFv\
    xD0VEmiGMKM2XEwt3zX4h/zaBQJrBuVgAh0AAAoJEEwt3zX4h/zavPYBAM3ZzcS3R/CJ/nk/bDl6sbcXdJD6lxgq\
    ShaJ04HdkD5EAPsEs1Xtx01yKAULCP6MjBdKDVHQYaMWjqLYOOrLk90ZALQUcmV2b2tlZEBwZWVyLmV4YW1wbGWI\
    kAQTFggAOBYhBFFvxD0VEmiGMKM2XEwt3zX4h/zaBQJrBuVgAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJ\
    EEwt3zX4h/zaUaoBAKKaBJAlcoxQVFDo/yXEmnG2jFyYP1DEuEpB3Oh7wiblAP9JTEui/RXPcxnRXfAEWraj9K5i\
    1NYgUjtJY89fvX3GDbg4BGsG5WASCisGAQQBl1UBBQEBB0BQ8o86yrKIeXPLuRl3Wa+zMM/ZsoqcdnvPiXx6c3Cu\
    ZQMBCAeIeAQYFggAIBYhBFFvxD0VEmiGMKM2XEwt3zX4h/zaBQJrBuVgAhsMAAoJEEwt3zX4h/zajesA/2ERcft3\
    UoUKJ0Hy/vUyO2wbVdZCECYKA9XreZaJaiJjAQCixaiHD8/7TelWDFJ3n20DW1GaKyHSK4ISYSZqgVScCA==\
    ";

/// A certificate of sha1@peer.example whose signatures are over SHA-1, made by GnuPG 2.2.40.
pub const SHA1: &str = "\
    mDMEawblYBYJKwYBBAHaRw8BAQdAbuS3qLAYADDzS+d+ddM87/aieVY6Jc92u05i7YoIrPq0EXNoYTFAcGVlci5l\
    eGFtcGxliJAEExYCADgWIQTrXdnA2Tiz/dsPRGiRSXSGFrUAnAUCawblYAIbAwULCQgHAgYVCgkICwIEFgIDAQIe\
    AQIXgAAKCRCRSXSGFrUAnFtJAPwMrWd3JwfP/TG7oAL6Y3NvkzLLy+z490bXpEHK4KJ0jgD/VBm6SOUQFpFrbvsU\
    /RtSFHaQs3eesnZgfRuaZnShKgq4OARrBuVgEgorBgEEAZdVAQUBAQdAgvQM5BCNx8FakEHhEevSCFB0kjXKxbUX\
    N3MeUPV5UmADAQgHiHgEGBYCACAWIQTrXdnA2Tiz/dsPRGiRSXSGFrUAnAUCawblYAIbDAAKCRCRSXSGFrUAnBif\
    AQC0cbCqWyLJQqJVghkPcdXDVQqiMo+kIUayU1MR0DDOIwD/aZYblcoFU0D5OEJED2FCIHNN6yRhPbYPQxSn7Uus\
    jAU=\
    ";

/// The octets of one of the certificates here.
pub fn octets(base64: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
}
