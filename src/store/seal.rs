//! Files that hold what the store holds: compressed (gzip), encrypted for whom the site names (age,
//! X25519), and read again before anybody counts on them.
//!
//! A file for recipients is written as it is made: no plain copy of it is ever on a disk. That it can be
//! opened is proven with a key of its own that is one more recipient, made for this file and forgotten
//! when it has been read.
//!
//! Formats: [age-encryption.org/v1](https://age-encryption.org/v1) around gzip (RFC 1952), or gzip
//! alone, so that `age -d` and `zcat` open them without Labwire.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    str::FromStr,
    sync::Arc,
};

use age::{
    Decryptor, Encryptor,
    secrecy::ExposeSecret as _,
    stream::{StreamReader, StreamWriter},
    x25519,
};
use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use labwire_drivers::crash;
use sha2::{Digest as _, Sha256};

use super::{
    error::StoreError,
    file::{cannot_open, create_private, remove_if_there},
};
use crate::people::hex;

/// How a file of age begins.
const AGE: &[u8] = b"age-encryption.org/v1\n";

/// How gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// A key file is a few lines; more is another file.
const KEY_BYTES_MAX: u64 = 64 * 1_024;

/// The longest line that is read: a row of the largest picture that a device may send, in Base64.
const LINE_BYTES_MAX: u64 = 256 * 1_024 * 1_024;

/// Whom files are encrypted for; nobody: they are not encrypted.
#[derive(Clone, Default)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads public keys such as `age1…`; the index of the first that is none is the error.
    ///
    /// # Errors
    /// The place of the text that is no such key.
    pub fn read(keys: &[&str]) -> Result<Self, usize> {
        let keys = keys.iter().enumerate();
        keys.map(|(at, key)| x25519::Recipient::from_str(key).map_err(|_| at))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether files stay plain.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.0.len()).finish()
    }
}

/// What opens files that are encrypted.
#[derive(Default)]
pub struct Keys(Vec<x25519::Identity>);

/// A key is never shown.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.0.len()).finish()
    }
}

impl Keys {
    /// Reads a file of secret keys, `AGE-SECRET-KEY-1…` a line, `#` before comments.
    ///
    /// # Errors
    /// [`StoreError::KeyUnreadable`], and what the disk says.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| cannot_open(path, error);
        let unreadable = || StoreError::KeyUnreadable { path: shown(path) };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(KEY_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|_| unreadable())?;
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<_> = keys
            .map(|line| x25519::Identity::from_str(line).map_err(|_| unreadable()))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(unreadable());
        }
        Ok(Self(keys))
    }
}

/// Makes a secret key, writes it to a file that nobody else may read, and returns its public key.
///
/// # Errors
/// [`StoreError::BackupExists`] when the file is there already, and what the disk says.
pub fn new_key(path: &Path) -> Result<String, StoreError> {
    if path.exists() {
        return Err(StoreError::BackupExists { path: shown(path) });
    }
    let failed = |error| cannot_open(path, error);
    let key = x25519::Identity::generate();
    let public = key.to_public().to_string();
    create_private(path)?;
    let mut file = File::options().write(true).open(path).map_err(failed)?;
    let text = format!(
        "# public key: {public}\n{}\n",
        key.to_string().expose_secret()
    );
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(public)
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Bytes on disk.
    pub bytes: u64,
    /// SHA-256 of them, hexadecimal.
    pub sha256: String,
    /// Whether they are encrypted.
    pub is_encrypted: bool,
}

/// Counts and hashes what goes to disk.
struct Tally {
    to: File,
    hash: Sha256,
    bytes: u64,
}

impl Write for Tally {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crash::point("sealing");
        self.to.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

enum Layer {
    Plain(Tally),
    Age(StreamWriter<Tally>),
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write_all(bytes)?,
            Self::Age(to) => to.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Age(to) => to.flush(),
        }
    }
}

/// A file that is written.
pub(crate) struct Writer {
    gzip: GzEncoder<Layer>,
    path: Arc<str>,
    /// The key of this file alone, which proves that it can be opened.
    witness: Keys,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).finish()
    }
}

impl Writer {
    /// Makes the file anew; nobody but its owner may read it.
    pub(crate) fn create(path: &Path, recipients: &Recipients) -> Result<Self, StoreError> {
        let failed = |error| cannot_open(path, error);
        remove_if_there(path)?;
        create_private(path)?;
        let to = File::options().write(true).open(path).map_err(failed)?;
        let tally = Tally {
            to,
            hash: Sha256::new(),
            bytes: 0,
        };
        let mut witness = Keys::default();
        let layer = if recipients.is_empty() {
            Layer::Plain(tally)
        } else {
            let key = x25519::Identity::generate();
            let own = key.to_public();
            let all = recipients.0.iter().chain([&own]);
            let all = all.map(|one| -> &dyn age::Recipient { one });
            let encryptor = Encryptor::with_recipients(all)
                .map_err(|error| failed(io::Error::other(error.to_string())))?;
            witness.0.push(key);
            Layer::Age(encryptor.wrap_output(tally).map_err(failed)?)
        };
        Ok(Self {
            gzip: GzEncoder::new(layer, Compression::default()),
            path: shown(path),
            witness,
        })
    }

    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = &self.path;
        self.gzip
            .write_all(bytes)
            .map_err(|error| of_disk(path, error))
    }

    /// Brings all of it to disk. The keys returned open this file and no other.
    pub(crate) fn finish(self) -> Result<(Seal, Keys), StoreError> {
        let path = self.path;
        let failed = |error| of_disk(&path, error);
        let (tally, is_encrypted) = match self.gzip.finish().map_err(failed)? {
            Layer::Plain(tally) => (tally, false),
            Layer::Age(stream) => (stream.finish().map_err(failed)?, true),
        };
        tally.to.sync_all().map_err(failed)?;
        let seal = Seal {
            bytes: tally.bytes,
            sha256: hex(&tally.hash.finalize()),
            is_encrypted,
        };
        Ok((seal, self.witness))
    }
}

fn of_disk(path: &Arc<str>, error: io::Error) -> StoreError {
    let path = Arc::clone(path);
    let is_full = error.kind() == io::ErrorKind::StorageFull;
    let source: super::Cause = Arc::new(error);
    if is_full {
        StoreError::DiskFull {
            path,
            source: Some(source),
        }
    } else {
        StoreError::DiskFailed {
            path,
            source: Some(source),
        }
    }
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Encrypted.
    Age,
    /// Compressed alone.
    Gzip,
    /// Something else.
    Other,
}

/// What the file at `path` is.
pub(crate) fn kind(path: &Path) -> Result<Kind, StoreError> {
    let failed = |error| cannot_open(path, error);
    let mut first = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let length = u64::try_from(AGE.len()).unwrap_or(0);
    file.take(length).read_to_end(&mut first).map_err(failed)?;
    Ok(if first == AGE {
        Kind::Age
    } else if first.starts_with(GZIP) {
        Kind::Gzip
    } else {
        Kind::Other
    })
}

/// SHA-256 of the bytes of a file, hexadecimal.
///
/// # Errors
/// What the disk says.
pub fn sha256(path: &Path) -> Result<String, StoreError> {
    let failed = |error| cannot_open(path, error);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut hash = Sha256::new();
    loop {
        let bytes = file.fill_buf().map_err(failed)?;
        if bytes.is_empty() {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(bytes);
        let length = bytes.len();
        file.consume(length);
    }
}

enum Opened {
    Plain(BufReader<File>),
    Age(StreamReader<BufReader<File>>),
}

impl Read for Opened {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(from) => from.read(to),
            Self::Age(from) => from.read(to),
        }
    }
}

/// The lines of a file, or of anything that is not compressed.
pub(crate) struct Lines {
    from: Box<dyn BufRead + Send>,
    path: Arc<str>,
    line: Vec<u8>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("path", &self.path).finish()
    }
}

impl Lines {
    /// Opens a file with `keys`, if it asks for one.
    pub(crate) fn open(path: &Path, keys: Option<&Keys>) -> Result<Self, StoreError> {
        let failed = |error| cannot_open(path, error);
        let file = || File::open(path).map(BufReader::new).map_err(failed);
        let opened = match kind(path)? {
            Kind::Age => Opened::Age(decrypted(file()?, path, keys)?),
            Kind::Gzip | Kind::Other => Opened::Plain(file()?),
        };
        let gzip = MultiGzDecoder::new(BufReader::new(opened));
        Ok(Self::of(Box::new(BufReader::new(gzip)), shown(path)))
    }

    /// Lines of something that is shown as `path`.
    pub(crate) fn of(from: Box<dyn BufRead + Send>, path: Arc<str>) -> Self {
        let line = Vec::new();
        Self { from, path, line }
    }

    /// The next line with its end; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, StoreError> {
        self.line.clear();
        let from = &mut self.from;
        let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        // What is cut or changed fails in decryption or decompression.
        read.map_err(|_| damaged(&self.path, "its bytes are not what was written"))?;
        match self.line.last() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(&self.line)),
            Some(_) => Err(damaged(&self.path, "it ends within a line")),
        }
    }

    /// Its name.
    pub(crate) const fn path(&self) -> &Arc<str> {
        &self.path
    }
}

fn decrypted(
    file: BufReader<File>,
    path: &Path,
    keys: Option<&Keys>,
) -> Result<StreamReader<BufReader<File>>, StoreError> {
    let Some(keys) = keys else {
        return Err(StoreError::KeyNeeded { path: shown(path) });
    };
    let decryptor =
        Decryptor::new_buffered(file).map_err(|_| damaged(&shown(path), "its head is broken"))?;
    let keys = keys.0.iter().map(|key| -> &dyn age::Identity { key });
    decryptor.decrypt(keys).map_err(|error| {
        if matches!(error, age::DecryptError::NoMatchingKeys) {
            StoreError::KeyWrong { path: shown(path) }
        } else {
            damaged(&shown(path), "its head was changed")
        }
    })
}

pub(crate) fn damaged(path: &Arc<str>, what: &str) -> StoreError {
    StoreError::CopyDamaged {
        path: Arc::clone(path),
        what: what.to_owned(),
    }
}

pub(crate) fn shown(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(key: &str) -> Recipients {
        Recipients::read(&[key]).unwrap()
    }

    fn read_all(path: &Path, keys: Option<&Keys>) -> Result<Vec<u8>, StoreError> {
        let mut lines = Lines::open(path, keys)?;
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.extend_from_slice(line);
        }
        Ok(all)
    }

    fn written(path: &Path, to: &Recipients) -> (Seal, Keys) {
        let mut writer = Writer::create(path, to).unwrap();
        for number in 0..5_000 {
            writer
                .add(format!("Trần Thị Bích {number}\n").as_bytes())
                .unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn only_a_key_of_a_recipient_opens_a_file_and_no_byte_of_it_is_plain() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let public = new_key(&at("key")).unwrap();
        new_key(&at("other")).unwrap();
        let (seal, witness) = written(&at("file"), &recipients(&public));
        assert!(seal.is_encrypted);
        assert_eq!(sha256(&at("file")).unwrap(), seal.sha256);
        let bytes = std::fs::read(at("file")).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"Tr\xe1\xba"));
        let open = |keys| read_all(&at("file"), keys);
        let own = Keys::read(&at("key")).unwrap();
        let all = open(Some(&own)).unwrap();
        assert_eq!(all, open(Some(&witness)).unwrap());
        assert!(all.ends_with("Trần Thị Bích 4999\n".as_bytes()));
        let other = Keys::read(&at("other")).unwrap();
        assert_eq!(open(Some(&other)).unwrap_err().code(), "STORE-0117");
        assert_eq!(open(None).unwrap_err().code(), "STORE-0116");
    }

    #[test]
    fn any_cut_and_any_changed_byte_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let public = new_key(&at("key")).unwrap();
        let key = Keys::read(&at("key")).unwrap();
        for to in [Recipients::default(), recipients(&public)] {
            written(&at("file"), &to);
            let sound = std::fs::read(at("file")).unwrap();
            for place in (0..sound.len()).step_by(sound.len() / 29 + 1) {
                std::fs::write(at("file"), &sound[..place]).unwrap();
                let cut = read_all(&at("file"), Some(&key));
                assert!(cut.is_err() || cut.unwrap().is_empty(), "cut at {place}");
            }
            // Of a head of gzip alone some bytes say nothing of the content (RFC 1952, 2.3.1).
            for place in (16..sound.len()).step_by(sound.len() / 29 + 1) {
                let mut changed = sound.clone();
                changed[place] ^= 0x20;
                std::fs::write(at("file"), &changed).unwrap();
                assert!(read_all(&at("file"), Some(&key)).is_err(), "at {place}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_written_for_its_owner_alone_and_never_over_another() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let public = new_key(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(public.starts_with("age1"));
        assert_eq!(new_key(&path).unwrap_err().code(), "STORE-0106");
        std::fs::write(&path, "no key").unwrap();
        assert_eq!(Keys::read(&path).unwrap_err().code(), "STORE-0118");
    }
}
