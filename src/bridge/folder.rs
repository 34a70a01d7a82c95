//! The folder of a line, into which its device writes pictures: looked at every second, each file
//! taken once it is complete, stored before anything else is done about it, and linked there.
//!
//! A device names its files in its results; nothing here opens a path that a device said. What is
//! taken is what stands in the folder, and in folders of it such as `20250115`: plain files, no
//! link, whose own bytes are a whole picture.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use labwire_drivers::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    image::{self, LINK_WINDOW, TakenFile},
    model::{IMAGE_BYTES_MAX, ImageBytes, file_name},
    store::{Store, StoreError, Turn},
};

use super::news::News;

/// Between two looks. A file is complete at the second look that finds it as it was.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A folder below this one is not looked into: devices sort by kind and by day.
const DEPTH_MAX: usize = 3;
/// A folder in which nothing was written for so long, microseconds, is not listed again at every
/// look: file systems keep such times by two seconds (FAT), and the share's clock may be another
/// one.
const QUIET_AFTER: i64 = 60 * 1_000_000;
/// But at every so many looks all the same.
const LIST_ALL_EVERY: u64 = 60;
/// Files that are watched until they are complete; more wait for the next look.
const WATCHED_MAX: usize = 4_096;

/// The folder of one line.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) line: String,
    pub(super) path: PathBuf,
    /// A file is deleted once it is kept.
    pub(super) deletes: bool,
    /// The hosts that want pictures.
    pub(super) hosts: Vec<String>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) results_changed: Arc<News>,
}

impl Folder {
    /// Takes files until it is to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut look = Look::new(&self.path);
        let mut knows = false;
        loop {
            if !knows {
                knows = self.remember(&mut look).await;
            }
            if knows {
                look = self.look(look, &stop).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// What was taken before this start is not read again.
    async fn remember(&self, look: &mut Look) -> bool {
        let line = self.line.clone();
        let since = self.clock.utc_micros().saturating_sub(LINK_WINDOW);
        let known = self
            .store
            .read(move |db| image::known_files(db, &line, since))
            .await;
        match known {
            Ok(known) => {
                let is = |file: image::Known| (file.name, (file.size, file.modified_at));
                look.done.extend(known.into_iter().map(is));
                true
            }
            Err(error) => {
                tracing::warn!(line = self.line, %error, "the picture folder waits for the store");
                false
            }
        }
    }

    async fn look(&self, mut look: Look, stop: &CancellationToken) -> Look {
        let now = self.clock.utc_micros();
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let found = look.find(now);
            (look, found)
        });
        let Ok((mut look, found)) = looked.await else {
            tracing::error!(line = self.line, "looking into the picture folder panicked");
            return Look::new(&path);
        };
        if let Err(error) = &found
            && !std::mem::replace(&mut look.is_lost, true)
        {
            tracing::warn!(line = self.line, %error, "the picture folder cannot be read; trying again");
        }
        look.is_lost &= found.is_err();
        for complete in found.unwrap_or_default() {
            if stop.is_cancelled() {
                break;
            }
            look = self.take(look, complete).await;
        }
        look
    }

    /// Reads one file and keeps it; one that cannot be kept now is looked at again.
    async fn take(&self, mut look: Look, file: Stands) -> Look {
        let root = self.path.clone();
        let own = file.clone();
        let read = tokio::task::spawn_blocking(move || own.read(&root)).await;
        let image = match read {
            Ok(Ok(Read::Image(image))) => image,
            Ok(Ok(Read::Other)) => {
                tracing::debug!(
                    line = self.line,
                    "a file of the picture folder is no picture"
                );
                look.is_done(&file);
                return look;
            }
            Ok(Ok(Read::TooLarge)) => {
                tracing::warn!(
                    line = self.line,
                    bytes = file.size,
                    "a file of the picture folder is too large for a picture and stays there"
                );
                look.is_done(&file);
                return look;
            }
            // Its end is not written yet, or it went away again.
            Ok(Ok(Read::Unfinished) | Err(_)) | Err(_) => return look,
        };
        match self.keep(&file, image).await {
            Ok(is_queued) => {
                look.is_done(&file);
                if is_queued {
                    self.results_changed.notify_waiters();
                }
                if self.deletes {
                    self.delete(file).await;
                }
            }
            Err(error) => {
                // At the next look it is as it was, and so complete.
                tracing::warn!(line = self.line, %error, "a picture waits for the store");
                look.watched
                    .insert(file.path.clone(), (file.size, file.modified_at));
            }
        }
        look
    }

    async fn keep(&self, file: &Stands, image: ImageBytes) -> Result<bool, StoreError> {
        let taken = TakenFile {
            line: self.line.clone(),
            name: file.name.clone(),
            image,
            modified_at: file.modified_at,
        };
        let (hosts, now) = (self.hosts.clone(), self.clock.utc_micros());
        self.store
            .transact(Turn::Background, move |db| {
                image::take(db, &taken, &hosts, now)
            })
            .await
    }

    /// Deletes a file that is kept, if it still is that file.
    async fn delete(&self, file: Stands) {
        let deleted = tokio::task::spawn_blocking(move || {
            if Stands::of(&file.path)?.as_ref() == Some(&file) {
                fs::remove_file(&file.path)?;
            }
            io::Result::Ok(())
        });
        if let Ok(Err(error)) = deleted.await {
            tracing::warn!(line = self.line, %error, "a picture that is kept cannot be deleted");
        }
    }
}

/// A file as it stands in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stands {
    path: PathBuf,
    name: String,
    size: u64,
    /// Microseconds UTC.
    modified_at: i64,
}

/// What a file is.
enum Read {
    Image(ImageBytes),
    /// A picture whose end is not there.
    Unfinished,
    Other,
    TooLarge,
}

impl Stands {
    /// A plain file with a name that a device can say; `None` for anything else.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let about = fs::symlink_metadata(path)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| file_name(name) == Some(name)) else {
            return Ok(None);
        };
        Ok(about.is_file().then(|| Self {
            path: path.to_owned(),
            name: name.to_owned(),
            size: about.len(),
            modified_at: micros(about.modified().unwrap_or(UNIX_EPOCH)),
        }))
    }

    /// Reads the file, if it still is what it was and lies below `root`.
    fn read(&self, root: &Path) -> io::Result<Read> {
        let limit = u64::try_from(IMAGE_BYTES_MAX).unwrap_or(u64::MAX);
        if self.size > limit {
            return Ok(Read::TooLarge);
        }
        let real = self.path.canonicalize()?;
        let is_below = real.starts_with(root.canonicalize()?);
        if !is_below || Self::of(&self.path)?.as_ref() != Some(self) {
            return Ok(Read::Unfinished);
        }
        let mut bytes = Vec::new();
        fs::File::open(&real)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).ok() != Some(self.size) {
            return Ok(Read::Unfinished);
        }
        let begins = crate::model::ImageFormat::of(&bytes);
        let image = ImageBytes::new(bytes);
        Ok(match (image.format, begins) {
            (Some(_), _) => Read::Image(image),
            (None, Some(_)) => Read::Unfinished,
            (None, None) => Read::Other,
        })
    }
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// What is remembered between looks.
#[derive(Debug, Default)]
struct Look {
    root: PathBuf,
    /// Files that are not complete, or were not when they were seen last: size and time.
    watched: HashMap<PathBuf, (u64, i64)>,
    /// Files that need not be read, by name: size and time.
    done: HashMap<String, (u64, i64)>,
    /// Folders as they were listed last.
    listed: HashMap<PathBuf, i64>,
    looks: u64,
    is_lost: bool,
}

impl Look {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            ..Self::default()
        }
    }

    fn is_done(&mut self, file: &Stands) {
        self.watched.remove(&file.path);
        self.done
            .insert(file.name.clone(), (file.size, file.modified_at));
    }

    /// The files that stand as they stood at the last look.
    fn find(&mut self, now: i64) -> io::Result<Vec<Stands>> {
        let oldest = now.saturating_sub(LINK_WINDOW);
        let lists_all = self.looks.is_multiple_of(LIST_ALL_EVERY);
        self.looks += 1;
        if lists_all {
            self.listed.clear();
            self.done
                .retain(|_, (_, modified_at)| *modified_at >= oldest);
        }
        let mut complete = Vec::new();
        let watched: Vec<(PathBuf, (u64, i64))> = self.watched.drain().collect();
        for (path, before) in watched {
            // One that went away is forgotten.
            let Ok(Some(file)) = Stands::of(&path) else {
                continue;
            };
            let stands = (file.size, file.modified_at);
            self.watched.insert(path, stands);
            if stands == before && file.size > 0 {
                complete.push(file);
            }
        }
        let root = self.root.clone();
        self.list(&root, 0, now)?;
        Ok(complete)
    }

    /// Finds what is new in a folder and below it.
    fn list(&mut self, folder: &Path, depth: usize, now: i64) -> io::Result<()> {
        let changed_at = micros(fs::metadata(folder)?.modified().unwrap_or(UNIX_EPOCH));
        let is_quiet = now.saturating_sub(changed_at) > QUIET_AFTER;
        let is_listed = self.listed.get(folder) == Some(&changed_at);
        let mut below = Vec::new();
        if is_quiet && is_listed {
            let own = self
                .listed
                .keys()
                .filter(|one| one.parent() == Some(folder));
            below.extend(own.cloned());
        } else {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // The kind of the entry itself: a link is neither.
                let kind = entry.file_type()?;
                if kind.is_dir() && depth + 1 < DEPTH_MAX {
                    below.push(entry.path());
                } else if kind.is_file() {
                    self.notice(&entry.path(), now);
                }
            }
            self.listed.insert(folder.to_owned(), changed_at);
        }
        for one in below {
            // A folder that went away meanwhile, or is not ours to read, hides nothing else.
            if self.list(&one, depth + 1, now).is_err() {
                self.listed.remove(&one);
            }
        }
        Ok(())
    }

    fn notice(&mut self, path: &Path, now: i64) {
        if self.watched.contains_key(path) || self.watched.len() >= WATCHED_MAX {
            return;
        }
        let Ok(Some(file)) = Stands::of(path) else {
            return;
        };
        let stands = (file.size, file.modified_at);
        let is_old = file.modified_at < now.saturating_sub(LINK_WINDOW);
        if !is_old && self.done.get(&file.name) != Some(&stands) {
            self.watched.insert(file.path, stands);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole picture of one point.
    const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

    struct Bench {
        folder: tempfile::TempDir,
        look: Look,
        now: i64,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let look = Look::new(folder.path());
            let now = micros(
                fs::metadata(folder.path())
                    .and_then(|m| m.modified())
                    .expect("a time"),
            );
            Self { folder, look, now }
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("writable");
            fs::write(path, bytes).expect("writable");
        }

        fn find(&mut self) -> Vec<String> {
            let mut found = self.look.find(self.now).expect("the folder is there");
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found.iter().map(|file| file.name.clone()).collect()
        }

        fn read(&self, name: &str) -> Option<Read> {
            let path = self.folder.path().join(name);
            let file = Stands::of(&path).expect("it is there")?;
            Some(file.read(self.folder.path()).expect("it can be read"))
        }
    }

    #[test]
    fn a_file_is_complete_when_it_stands_as_it_stood() {
        let mut bench = Bench::new();
        bench.write("a.gif", GIF);
        bench.write("PNG/20250115/b.gif", GIF);
        bench.write("1/2/3/4/too-deep.gif", GIF);
        assert_eq!(bench.find(), [""; 0]);
        assert_eq!(bench.find(), ["a.gif", "b.gif"]);
        bench.write("a.gif", &GIF[..10]);
        assert_eq!(bench.find(), ["b.gif"]);
        assert_eq!(bench.find(), ["a.gif", "b.gif"]);
        let done = Stands::of(&bench.folder.path().join("a.gif"));
        bench.look.is_done(&done.expect("there").expect("a file"));
        assert_eq!(bench.find(), ["b.gif"]);
        assert_eq!(bench.find(), ["b.gif"]);
        bench.write("a.gif", GIF);
        bench.find();
        assert_eq!(
            bench.find(),
            ["a.gif", "b.gif"],
            "another file of the same name"
        );
    }

    #[test]
    fn a_file_older_than_any_result_that_may_name_it_stays() {
        let mut bench = Bench::new();
        bench.write("a.gif", GIF);
        bench.now += LINK_WINDOW + 60_000_000;
        bench.find();
        assert_eq!(bench.find(), [""; 0]);
    }

    #[test]
    fn only_a_whole_picture_is_taken() {
        let bench = Bench::new();
        bench.write("whole.gif", GIF);
        bench.write("cut.gif", &GIF[..GIF.len() - 1]);
        bench.write("Thumbs.db", b"whatever");
        bench.write("large.gif", &vec![0; IMAGE_BYTES_MAX + 1]);
        assert!(matches!(bench.read("whole.gif"), Some(Read::Image(_))));
        assert!(matches!(bench.read("cut.gif"), Some(Read::Unfinished)));
        assert!(matches!(bench.read("Thumbs.db"), Some(Read::Other)));
        assert!(matches!(bench.read("large.gif"), Some(Read::TooLarge)));
        bench.write(".hidden.gif", GIF);
        assert!(bench.read(".hidden.gif").is_none());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_outside_of_the_folder_is_read() {
        let outside = tempfile::tempdir().expect("a folder for the test");
        fs::write(outside.path().join("secret.gif"), GIF).expect("writable");
        let mut bench = Bench::new();
        let link = |to: PathBuf, name: &str| {
            std::os::unix::fs::symlink(to, bench.folder.path().join(name)).expect("a link");
        };
        link(outside.path().join("secret.gif"), "link.gif");
        link(outside.path().to_owned(), "folder");
        bench.find();
        assert_eq!(bench.find(), [""; 0]);
        assert!(bench.read("link.gif").is_none());
        // A path through the linked folder, should anybody make one.
        let through = bench.read("folder/secret.gif").expect("a plain file");
        assert!(matches!(through, Read::Unfinished));
    }
}
