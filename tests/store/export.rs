//! Records as lines of JSON, out of one store and into another.

use std::{io::BufReader, path::Path, sync::Arc};

use crane::{
    error::Error,
    store::{self, Batch, Store, export, import},
};

use crate::support::redis_server::RedisServer;

async fn open(url: &str, directory: &Path) -> Arc<dyn Store> {
    store::open(url, directory).await.unwrap()
}

async fn all(store: &dyn Store) -> Vec<(String, Vec<u8>)> {
    let found = store.list("", None, 100_000).await.unwrap();
    found.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

async fn exported(store: &dyn Store, skip: &[&str]) -> String {
    let mut file = Vec::new();
    export(store, &mut file, skip).await.unwrap();
    String::from_utf8(file).unwrap()
}

async fn refused(file: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let store = open("memory:", directory.path()).await;
    let error = import(&*store, file.as_bytes(), &[]).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    error.to_string()
}

/// Values that come back to the byte or not at all.
fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = [
        r#"{"z":1,"a":[1.0,1e400,-0,12345678901234567890123],"a":"\u00e9 é \n"}"#,
        r#"{ "spaces" : true }"#,
        " 1",
        "1 ",
        "null",
        "\"text\"",
        "{\"lines\":\n1}",
        "{\"cut",
        "no json",
        "",
    ]
    .map(Vec::from)
    .to_vec();
    values.push((0..=255).collect());
    values.push(vec![b'"'; 3_000_000]);
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_through_every_backend_and_come_back_the_same() {
    let server = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let first = open("memory:", directory.path()).await;
    for (number, value) in values().into_iter().enumerate() {
        first.put_if_absent(&format!("value \"{number}\" é"), value).await.unwrap();
    }
    for number in 0..1_700_u32 {
        first.create(&format!("number:{number}"), &number).await.unwrap();
    }
    let expected = all(&*first).await;
    let file = exported(&*first, &[]).await;
    assert!(file.starts_with("{\"crane-store\":1,"), "{}", &file[..100]);
    assert!(file.ends_with(&format!("\n{{\"records\":{}}}\n", expected.len())));
    assert!(file.contains("\n{\"key\":\"number:5\",\"json\":5}\n"));
    assert_eq!(file.lines().count(), expected.len() + 2);
    let mut latest = file.clone();
    for url in ["filesystem:", &server.url(), "memory:"] {
        let store = open(url, directory.path()).await;
        let count = import(&*store, BufReader::new(latest.as_bytes()), &[]).await.unwrap();
        assert_eq!(count, expected.len() as u64);
        assert!(all(&*store).await == expected, "{url}");
        latest = exported(&*store, &[]).await;
        assert!(latest == file, "{url}");
        let again = import(&*store, latest.as_bytes(), &[]).await.unwrap_err();
        assert!(again.to_string().contains("into an empty one"), "{again}");
    }
}

#[tokio::test]
async fn what_is_skipped_stays_out_and_a_writer_in_the_meantime_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = open("memory:", directory.path()).await;
    let batch = ["a:1", "b:1", "b:2", "c:1"]
        .into_iter()
        .fold(Batch::new(), |batch, key| batch.put(key, b"1".to_vec()));
    store.commit(batch).await.unwrap();
    let mut file = Vec::new();
    let outcome = export(&*store, &mut file, &["b:"]).await.unwrap();
    assert!(outcome.records == 2 && outcome.of_one_instant);
    let other = open("memory:", directory.path()).await;
    assert_eq!(import(&*other, &*file, &["c"]).await.unwrap(), 1);
    assert_eq!(other.names("").await.unwrap(), ["a:1"]);

    /// Somebody else, who has time for a write while the file is written.
    struct Disturbed(Arc<dyn Store>);
    impl std::io::Write for Disturbed {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            let write = self.0.commit(Batch::new().delete("none"));
            futures_util::future::FutureExt::now_or_never(write).unwrap().unwrap();
            Ok(buffer.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let outcome = export(&*store, Disturbed(Arc::clone(&store)), &[]).await.unwrap();
    assert!(!outcome.of_one_instant);
}

#[tokio::test]
async fn a_bad_line_is_named_with_the_remedy() {
    let head = "{\"crane-store\":1}\n";
    let remedy = "correct the file or export anew, then empty the store and import again";
    let record = "{\"key\":\"a\",\"json\":1}\n";
    for (lines, place, words) in [
        ("{\"key\":\"a\"", "2:10", "this is no record: EOF while parsing an object"),
        ("{\"key\":\"a\"}\n", "2:1", "this is no record: that has 'key', and 'json' or 'base64'"),
        ("{\"kye\":\"a\"}\n", "2:6", "this is no record: unknown field `kye`"),
        ("{\"key\":\"a\",\"base64\":\"?\"}\n", "2:1", "base64: Invalid"),
        ("", "2:1", "the file is cut off, its last lines are missing"),
        ("{\"records\":1}\n", "2:1", "1 records should stand before it, not 0"),
        ("{\"records\":0}\nmore\n", "3:1", "something stands behind the last line"),
    ] {
        let error = refused(&format!("{head}{lines}")).await;
        assert!(error.starts_with(&format!("import:{place}: {words}")), "{error}");
        assert!(error.ends_with(remedy), "{error}");
    }
    let error = refused(&format!("{head}{record}{record}oops\n")).await;
    assert!(error.starts_with("import:4:1: this is no record: expected value"), "{error}");
    for file in ["", "{}\n", "\n", "key,value\n", record] {
        assert!(refused(file).await.contains("import:1:1: this is no export"), "{file}");
    }
    let error = refused("{\"crane-store\":2,\"version\":\"9.1.0\"}\n").await;
    assert!(error.contains("the format 2 (of Crane 9.1.0), this Crane reads 1"), "{error}");
}

#[tokio::test]
async fn a_store_with_half_an_import_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open("filesystem:", directory.path()).await;
    // Nothing is begun for a file that is none.
    assert!(import(&*store, &b"oops"[..], &[]).await.is_err());
    let lines: String = (0..600).map(|n| format!("{{\"key\":\"{n}\",\"json\":{n}}}\n")).collect();
    let file = format!("{{\"crane-store\":1}}\n{lines}{{\"key\":");
    assert!(import(&*store, file.as_bytes(), &[]).await.is_err());
    let again = import(&*store, file.as_bytes(), &[]).await.unwrap_err().to_string();
    drop(store);
    let error = store::open("filesystem:", directory.path()).await.err().unwrap().to_string();
    for error in [error, again] {
        assert!(error.contains("an import into it is under way or was cut off"), "{error}");
        assert!(error.contains("empty the store (remove its directory"), "{error}");
    }
}
