//! Processes that are killed at random instants, while clients go on asking for all sorts of
//! things: whatever was acknowledged comes to an end, once, and nothing is left behind.
//!
//! `CRANE_TEST_LOGS` names a directory for what the processes printed that were killed.

mod judge;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::long;
use crate::support::{
    Form, Program, Served,
    http::{Answer, Http},
    redis_server::RedisServer,
    rig,
};

const CLIENTS: usize = 4;

/// That are there at the same time.
const COMPOSITIONS: usize = 4;

/// Chances, without a crate for them.
fn below(limit: usize) -> usize {
    usize::try_from(uuid::Uuid::new_v4().as_u128() % limit as u128).unwrap()
}

/// One place where Crane is started again and again.
struct Place {
    program: Program,
    data: TempDir,
    /// Where clients find it; the last one while there is none.
    url: Mutex<String>,
    served: tokio::sync::Mutex<Option<Served>>,
}

impl Place {
    fn new(store: Option<&str>, registry: &str) -> Self {
        let data = TempDir::new().unwrap();
        let mut program = Program::new(data.path())
            .with("CRANE_REGISTRY", registry)
            .with("CRANE_PARALLEL_BUILDS", "4")
            .with("CRANE_LEASE_SECONDS", "3");
        if let Some(store) = store {
            program = program.with("CRANE_STORE", store);
        }
        Self { program, data, url: Mutex::default(), served: tokio::sync::Mutex::default() }
    }

    async fn start(&self) {
        let program = self.program.clone();
        let served = tokio::task::spawn_blocking(move || program.start()).await.unwrap();
        self.url.lock().unwrap().clone_from(&served.url);
        *self.served.lock().await = Some(served);
    }

    async fn kill(&self) {
        let mut served = self.served.lock().await.take().unwrap();
        assert!(served.is_running(), "ended by itself: {}", served.log());
        served.end("KILL");
        let log = served.log();
        assert!(!log.contains("panicked"), "{log}");
        if let Some(directory) = std::env::var_os("CRANE_TEST_LOGS") {
            let file = format!("{}-{}.log", served.id(), uuid::Uuid::new_v4().simple());
            std::fs::write(std::path::Path::new(&directory).join(file), log).unwrap();
        }
    }

    async fn terminate(&self) {
        let mut served = self.served.lock().await.take().unwrap();
        assert_eq!(served.end("TERM"), Some(0));
    }

    fn left(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.data.path().join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// What was asked of a resource whose creation was acknowledged.
#[derive(Default)]
struct Acknowledged {
    deleted: bool,
    cancelled: bool,
}

struct World {
    places: Vec<Place>,
    /// By path.
    acknowledged: Mutex<BTreeMap<String, Acknowledged>>,
    left_to_do: AtomicUsize,
    unanswered: AtomicUsize,
}

impl World {
    /// Asks one of the places until there is an answer.
    async fn ask(&self, method: &str, path: &str, form: Option<Form>) -> Option<Answer> {
        let place = &self.places[below(self.places.len())];
        let url = place.url.lock().unwrap().clone();
        let content_type = Form::content_type();
        let (headers, body) = match form {
            Some(form) => (vec![("content-type", content_type.as_str())], form.body()),
            None => (vec![], vec![]),
        };
        match Http::new(&url).try_send(method, path, &headers, body).await {
            Ok(answer) => Some(answer),
            Err(_) => {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    /// A request without an answer may have been heard: what is created again has another name.
    async fn create(&self, route: &str, form: impl Fn() -> Form) {
        let answer = loop {
            if let Some(answer) = self.ask("POST", route, Some(form())).await {
                break answer;
            }
        };
        // The context that an image is made from may be gone, or have failed.
        if route == "/builder/images" && [404, 409].contains(&answer.status) {
            return;
        }
        let token = answer.ok()["token"].as_str().unwrap().to_owned();
        let path = format!("{route}/{token}");
        self.acknowledged.lock().unwrap().insert(path, Acknowledged::default());
    }

    fn any(&self, prefix: &str) -> Option<String> {
        let all = self.acknowledged.lock().unwrap();
        let paths: Vec<&String> = all.keys().filter(|path| path.starts_with(prefix)).collect();
        (!paths.is_empty()).then(|| paths[below(paths.len())].clone())
    }

    async fn image(&self) {
        let context = self.any("/builder/contexts").filter(|_| below(2) == 0);
        // Of nothing, which is quick, or of something, which can be cut short.
        let content = match below(2) {
            0 => "FROM scratch\nADD m.pp /m.pp\n".to_owned(),
            _ => format!("FROM {}\nRUN sleep 1; echo $RANDOM > /x\n", rig("RIG_BASE")),
        };
        self.create("/builder/images", || {
            let unique = uuid::Uuid::new_v4().simple().to_string();
            let form = Form::default()
                .text("imageName", &format!("kill-{unique}"))
                .file("dockerfile", "Dockerfile", format!("{content}# {unique}\n"))
                .file("puppetmanifest", "m.pp", format!("# {unique}\n"));
            match &context {
                Some(path) => form.text("contextReference", path.rsplit('/').next().unwrap()),
                None => form,
            }
        })
        .await;
    }

    /// An engine has addresses for thirty networks, so that only some are there at a time.
    async fn composition(&self) {
        let tokens = self.look("/extra/tokens").await.unwrap();
        let there = tokens["compositions"].as_array().unwrap();
        match there.get(COMPOSITIONS) {
            None => self.create("/composer", composition).await,
            Some(token) => self.delete(format!("/composer/{}", token.as_str().unwrap())).await,
        }
    }

    async fn cancel(&self, path: String) {
        self.acknowledged.lock().unwrap().get_mut(&path).unwrap().cancelled = true;
        let answer = loop {
            if let Some(answer) = self.ask("POST", &format!("{path}/cancel"), None).await {
                break answer;
            }
        };
        // Nothing to cancel any more, or it is gone.
        assert!([200, 404, 409].contains(&answer.status), "{path}: {}", answer.text);
    }

    async fn delete(&self, path: String) {
        // Said before it is asked for, as others may see it gone before the answer is here.
        self.acknowledged.lock().unwrap().entry(path.clone()).or_default().deleted = true;
        let answer = loop {
            if let Some(answer) = self.ask("DELETE", &path, None).await {
                break answer;
            }
        };
        assert!([200, 404].contains(&answer.status), "{path}: {}", answer.text);
        assert_eq!(self.look(&path).await, None, "it was deleted");
    }

    async fn look(&self, path: &str) -> Option<Value> {
        loop {
            let Some(answer) = self.ask("GET", path, None).await else { continue };
            return (answer.status != 404).then(|| answer.ok());
        }
    }

    async fn client(self: Arc<Self>) {
        let take = |left: usize| left.checked_sub(1);
        while self.left_to_do.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            match below(100) {
                0..10 => self.create("/builder/contexts", Form::default).await,
                10..25 => self.create("/builder/contexts", context).await,
                25..55 => self.image().await,
                55..75 => self.composition().await,
                other => match (self.any("/"), other) {
                    (Some(path), ..88) => self.cancel(path).await,
                    (Some(path), _) => self.delete(path).await,
                    (None, _) => self.create("/builder/contexts", Form::default).await,
                },
            }
            sleep(Duration::from_millis(below(700) as u64)).await;
        }
    }
}

fn context() -> Form {
    let git = rig("RIG_GIT");
    let puppetfile = format!("mod 'stdlib', git: '{git}/puppetlabs-stdlib.git', tag: 'v8.5.0'\n");
    Form::default().file("puppetfile", "Puppetfile", puppetfile)
}

const SERVICES: usize = 2;

fn composition() -> Form {
    let service = |name: &str| {
        format!(
            "  {name}:\n    image: {}\n    command: [perl, '-e', '$$SIG{{TERM}} = sub {{ exit }}; \
             sleep']\n",
            rig("RIG_BASE")
        )
    };
    let compose = format!("services:\n{}{}", service("a"), service("b"));
    Form::default().file("composefile", "c.yml", compose)
}

async fn run(stores: &[Option<&str>]) {
    let operations = if long() { 300 } else { 30 };
    let name = format!("kill-{}", uuid::Uuid::new_v4().simple());
    let registry = format!("{}/{name}", rig("RIG_REGISTRY"));
    let world = Arc::new(World {
        places: stores.iter().map(|store| Place::new(*store, &registry)).collect(),
        acknowledged: Mutex::default(),
        left_to_do: operations.into(),
        unanswered: AtomicUsize::new(0),
    });
    for place in &world.places {
        place.start().await;
    }
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(Arc::clone(&world).client())).collect();
    let mut kills = 0;
    // The last ones hit what is still being done after the last answer. Without a limit a slow
    // machine would see nothing finished but deaths.
    let mut more = 2;
    while more > 0 && kills < operations / 2 {
        sleep(Duration::from_millis(100 + below(3000) as u64)).await;
        let place = &world.places[below(world.places.len())];
        place.kill().await;
        kills += 1;
        if world.places.len() > 1 {
            // Long enough, now and then, for the other one to take over.
            sleep(Duration::from_millis(below(5000) as u64)).await;
        }
        place.start().await;
        more -= usize::from(clients.iter().all(tokio::task::JoinHandle::is_finished));
    }
    for client in clients {
        client.await.unwrap();
    }
    let unanswered = world.unanswered.load(Ordering::SeqCst);
    eprintln!("{operations} operations, {unanswered} times no answer, {kills} kills");
    judge::judge(&world, stores[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_again_and_again_ends_all_it_acknowledged() {
    run(&[None]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_redis_that_are_killed_again_and_again_end_all_they_acknowledged() {
    let redis = RedisServer::start();
    let url = redis.url();
    run(&[Some(&url), Some(&url)]).await;
}
