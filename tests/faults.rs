//! Parts that fail in the middle: what is told, that nothing half-made is left, and that the next
//! good request works. `install/faults` runs all of these for longer than the suite does.

mod away;
mod bad_registry;
mod clock;
mod dead;
mod engine;
mod killed;
mod quickstart;
mod registry;
mod stopped;
mod versions;

use std::{fs, io::Write, net::TcpStream, path::Path, process::Command};

use crane::store::Batch;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Crane, Form, Program,
    docker::{docker, engine_at},
    rig,
};

/// Whether `install/faults` runs this, which has more time than the suite.
fn long() -> bool {
    std::env::var_os("CRANE_TEST_LONG").is_some()
}

/// A name that no other run of this test gives to an image on the same engine: the newer of two
/// would take it from the older, which is removed then.
fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

/// An image whose build prints `began` and goes on for so many seconds. Nothing of it is in the
/// engine's cache.
fn long_build(name: &str, seconds: u64) -> Form {
    let unique = uuid::Uuid::new_v4();
    let base = rig("RIG_BASE");
    let dockerfile = format!("FROM {base}\nRUN : {unique}; echo began; sleep {seconds}\n");
    Form::default().text("imageName", name).file("dockerfile", "Dockerfile", dockerfile)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_away_in_a_build_is_the_images_error() {
    let (address, relay) = engine_at("127.0.0.1:0".parse().unwrap()).await;
    let crane = Crane::with(&[("engine", &format!("tcp://{address}"))]).await;
    let dockerfile = format!("FROM {}\nRUN echo began && sleep 60\n", rig("RIG_BASE"));
    let form =
        Form::default().text("imageName", "cut").file("dockerfile", "Dockerfile", dockerfile);
    let body = crane.post("/builder/images", form).await.ok();
    let path = format!("/builder/images/{}", body["token"].as_str().unwrap());
    crane.prints(&path, "began").await;
    relay.abort();
    let body = crane.failed(&path).await;
    assert!(body["description"].as_str().unwrap().starts_with("engine: "), "{body:#}");
    assert_eq!(docker(&["images", "-q", "default/cut"]), "");
}

#[tokio::test]
async fn a_client_that_hangs_up_in_an_upload_has_changed_nothing() {
    let crane = Crane::start().await;
    let body = Form::default().file("puppetfile", "Puppetfile", vec![b'#'; 100_000]).body();
    let mut connection = TcpStream::connect(crane.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /builder/contexts HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        Form::content_type(),
        body.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&body[..50_000]).unwrap();
    drop(connection);
    assert_eq!(crane.get("/builder/contexts").await.ok(), json!({"contexts": []}));
    let next = crane.post("/builder/contexts", Form::default()).await.ok();
    assert_eq!(next["status"], "finished");
    crane.close().await;
}

/// A file system of its own, for a test to fill.
struct Disk(TempDir);

impl Disk {
    fn of(megabytes: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let size = format!("size={megabytes}m");
        let mount = ["-t", "tmpfs", "-o", &size, "crane-test"];
        let mounted = Command::new("mount").args(mount).arg(directory.path()).status().unwrap();
        assert!(mounted.success(), "mounting a tmpfs takes root");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves so many kilobytes free.
    fn fill(&self, leave: u64) {
        let mut file = fs::File::create(self.path().join("filler")).unwrap();
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        let size = file.metadata().unwrap().len();
        file.set_len(size - leave * 1024).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_new_records_and_loses_none() {
    let disk = Disk::of(64);
    let data = disk.path().join("crane");
    let settings = [("data_dir", data.to_str().unwrap()), ("store", "filesystem:")];
    let crane = Crane::with(&settings).await;
    let kept = crane.post("/builder/contexts", Form::default()).await.ok();
    disk.fill(512);
    let refused = crane.post("/builder/contexts", Form::default()).await.error();
    assert_eq!((refused.0, &*refused.1), (503, "unavailable"));
    assert!(refused.2.contains("is full; make room on it"), "{}", refused.2);
    disk.make_room();
    assert_eq!(crane.post("/builder/contexts", Form::default()).await.ok()["status"], "finished");
    let path = format!("/builder/contexts/{}", kept["token"].as_str().unwrap());
    assert_eq!(crane.get(&path).await.ok(), kept);
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_an_installation_and_leaves_none_of_it() {
    let disk = Disk::of(64);
    let data = disk.path().join("crane");
    let crane = Crane::with(&[("data_dir", data.to_str().unwrap())]).await;
    disk.fill(256);
    let module =
        format!("mod 'stdlib', git: '{}/puppetlabs-stdlib.git', tag: 'v8.5.0'\n", rig("RIG_GIT"));
    let form = || Form::default().file("puppetfile", "Puppetfile", &module);
    // Before the context is stored, or while it is installed.
    let answer = crane.post("/builder/contexts", form()).await;
    if answer.status == 200 {
        let path = format!("/builder/contexts/{}", answer.json()["token"].as_str().unwrap());
        let body = crane.failed(&path).await;
        assert!(body.to_string().contains("No space left"), "{body:#}");
        crane.delete(&path).await.ok();
    } else {
        assert!(answer.text.contains("No space left"), "{}", answer.text);
    }
    let left = |directory: &str| fs::read_dir(data.join(directory)).map_or(0, Iterator::count);
    assert_eq!((left("contexts"), left("work")), (0, 0));
    disk.make_room();
    let body = crane.post("/builder/contexts", form()).await.ok();
    crane.finished(&format!("/builder/contexts/{}", body["token"].as_str().unwrap())).await;
    crane.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_while_a_job_runs_loses_nothing_that_was_acknowledged() {
    let disk = Disk::of(64);
    let data = disk.path().join("crane");
    let program = Program::new(&data);
    let mut served = program.start();
    let body = served.http.post("/builder/images", long_build(&unique("disk"), 8)).await.ok();
    let image = format!("/builder/images/{}", body["token"].as_str().unwrap());
    served.prints(&image, "began", 1).await;
    disk.fill(64);
    // Small records may find room for a while.
    let mut kept = Vec::new();
    let refused = loop {
        let answer = served.http.post("/builder/contexts", Form::default()).await;
        if answer.status != 200 {
            break answer.error();
        }
        kept.push(answer.json()["token"].as_str().unwrap().to_owned());
    };
    assert_eq!((refused.0, &*refused.1), (503, "unavailable"));
    if long() {
        // The build itself comes to its end meanwhile.
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    }
    disk.make_room();
    let body = served.ends(&image).await;
    assert_eq!(body["status"], "finished", "{body:#}\n{}", served.log());
    served.end("KILL");
    let served = program.start();
    assert_eq!(served.http.get(&image).await.ok(), body);
    let contexts = served.http.get("/builder/contexts").await.text;
    assert!(kept.iter().all(|token| contexts.contains(token)), "{kept:?}: {contexts}");
    served.purge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_read_holds_up_no_other() {
    let crane = Crane::start().await;
    assert_eq!(crane.get("/livez").await.status, 200);
    let store = &crane.parts.jobs.parts.store;
    let damaged = Batch::new().append("job:", b"what a newer Crane wrote".to_vec());
    store.commit(damaged).await.unwrap().unwrap();
    let form = Form::default().file("puppetfile", "Puppetfile", "# none\n");
    let body = crane.post("/builder/contexts", form).await.ok();
    crane.finished(&format!("/builder/contexts/{}", body["token"].as_str().unwrap())).await;
    crane.close().await;
}
