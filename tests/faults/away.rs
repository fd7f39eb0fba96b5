//! A Redis that goes away while a job runs: nothing acknowledged is lost, the job ends, and who
//! asks meanwhile waits or is told.

use std::{collections::BTreeSet, time::Duration};

use tempfile::TempDir;
use tokio::time::sleep;

use super::{long, long_build, unique};
use crate::support::{
    Form, Program, Served, docker,
    redis_server::{Mode, RedisServer, Way},
};

/// A build in the middle of which the Redis goes away.
struct Trial {
    served: Served,
    image: String,
    /// Contexts whose creation was acknowledged.
    kept: Vec<String>,
    refused: usize,
    _data: TempDir,
}

impl Trial {
    async fn begin(url: &str, name: &str, seconds: u64) -> Self {
        let data = TempDir::new().unwrap();
        let served = Program::new(data.path()).with("CRANE_STORE", url).start();
        let body =
            served.http.post("/builder/images", long_build(&unique(name), seconds)).await.ok();
        let image = format!("/builder/images/{}", body["token"].as_str().unwrap());
        served.prints(&image, "began", 1).await;
        Self { served, image, kept: Vec::new(), refused: 0, _data: data }
    }

    /// Goes on creating and reading, until `over` is.
    async fn ask_until<T>(&mut self, over: impl Future<Output = T>) -> T {
        let mut over = std::pin::pin!(over);
        loop {
            let ask = async {
                let created = self.served.http.post("/builder/contexts", Form::default()).await;
                let read = self.served.http.get(&self.image).await;
                (created, read)
            };
            // What was sent is waited for, as a client would.
            let mut ended = None;
            let mut ask = std::pin::pin!(ask);
            let (created, read) = tokio::select! {
                answers = &mut ask => answers,
                end = &mut over => {
                    ended = Some(end);
                    ask.await
                }
            };
            match created.status {
                200 => self.kept.push(created.json()["token"].as_str().unwrap().to_owned()),
                _ => assert_eq!((created.status, &*created.error().1), (503, "unavailable")),
            }
            assert!([200, 503].contains(&read.status), "{}", read.text);
            self.refused += usize::from(created.status != 200);
            if let Some(ended) = ended {
                return ended;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn judge(self) {
        let Self { served, image, kept, refused, .. } = self;
        eprintln!("{} contexts kept, {refused} refused", kept.len());
        let body = served.ends(&image).await;
        assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
        let log = served.http.get(&format!("{image}/log")).await.text;
        assert!(log.contains("Pushing "), "{log}");
        let contexts = served.http.get("/builder/contexts").await.text;
        assert!(!kept.is_empty());
        for token in &kept {
            assert!(contexts.contains(token), "{token} was acknowledged and is lost");
        }
        let token = image.rsplit('/').next().unwrap();
        let label = format!("label=eu.cloudopting.crane.resource={token}");
        let images = docker::docker(&["images", "--quiet", "--all", "--filter", &label]);
        let images: BTreeSet<&str> = images.lines().collect();
        assert_eq!(images.len(), 1, "{images:?}");
        served.purge().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_restarts_in_a_job_loses_nothing() {
    let mut redis = RedisServer::start();
    let mut trial = Trial::begin(&redis.url(), "redis-restarts", 6).await;
    for _ in 0..if long() { 10 } else { 2 } {
        trial
            .ask_until(async {
                sleep(Duration::from_millis(500)).await;
                redis.kill();
                sleep(Duration::from_millis(1000)).await;
                redis.restart();
                sleep(Duration::from_millis(500)).await;
            })
            .await;
    }
    trial.judge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_cut_off_in_a_job_loses_nothing() {
    let (cut_off, build) = if long() { (30, 40) } else { (5, 8) };
    let redis = RedisServer::start();
    let way = Way::to(redis.address()).await;
    let url = format!("redis://{}", way.address);
    let mut trial = Trial::begin(&url, "redis-cut-off", build).await;
    trial
        .ask_until(async {
            way.set(Mode::Silent);
            sleep(Duration::from_secs(cut_off)).await;
            way.set(Mode::Forward);
            sleep(Duration::from_secs(1)).await;
            way.cut();
            sleep(Duration::from_secs(1)).await;
        })
        .await;
    trial.judge().await;
}

/// The lease is over before the Redis is back: the job is begun again, by the same process.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_for_longer_than_a_lease_has_the_job_done_again() {
    let redis = RedisServer::start();
    let way = Way::to(redis.address()).await;
    let data = TempDir::new().unwrap();
    let served = Program::new(data.path())
        .with("CRANE_STORE", format!("redis://{}", way.address))
        .with("CRANE_LEASE_SECONDS", "3")
        .start();
    let body =
        served.http.post("/builder/images", long_build(&unique("lease-over"), 12)).await.ok();
    let image = format!("/builder/images/{}", body["token"].as_str().unwrap());
    served.prints(&image, "began", 1).await;
    way.set(Mode::Silent);
    sleep(Duration::from_secs(if long() { 30 } else { 6 })).await;
    way.set(Mode::Forward);
    let body = served.ends(&image).await;
    assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
    assert!(served.log().contains("a job is taken over"), "{}", served.log());
    served.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_late_in_a_job_loses_nothing() {
    let redis = RedisServer::start();
    let way = Way::to(redis.address()).await;
    let url = format!("redis://{}", way.address);
    let mut trial = Trial::begin(&url, "redis-late", 6).await;
    // Every seventh answer comes later than it is waited for.
    let late = Duration::from_secs(if long() { 60 } else { 10 });
    trial
        .ask_until(async {
            way.set(Mode::Late(Duration::from_millis(3500)));
            sleep(late).await;
            way.set(Mode::Forward);
        })
        .await;
    trial.judge().await;
}
