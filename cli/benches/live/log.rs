// SPDX-License-Identifier: MPL-2.0
//! What `stylize` says of itself in programs that do not tell: the height it paints at.

use std::path::PathBuf;

pub struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    /// Makes every process that is started from now on write one. To be called before there are threads.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = [
            ("GST_DEBUG", "stylize:4".into()),
            ("GST_DEBUG_NO_COLOR", "1".into()),
            ("GST_DEBUG_FILE", folder.path().join("%p.log")),
        ];
        for (name, value) in settings {
            // SAFETY: nothing else runs yet that could read the environment.
            unsafe { std::env::set_var::<_, PathBuf>(name, value) };
        }
        Self { folder }
    }

    /// Forgets what has been said by processes that have ended.
    pub fn clear(&self) {
        for file in self.others() {
            std::fs::remove_file(file).expect("removed");
        }
    }

    /// Files of other processes than this one.
    fn others(&self) -> Vec<PathBuf> {
        let own = format!("{}.log", std::process::id());
        let files = self.folder.path().read_dir().expect("a folder").flatten();
        files
            .filter(|file| file.file_name() != *own)
            .map(|file| file.path())
            .collect()
    }

    /// Lines that the generator paints at now, in the one program that runs, if not all there are.
    pub fn lines(&self) -> Option<u32> {
        let text = self.others().into_iter();
        let text = text.map(|file| std::fs::read_to_string(file).expect("text"));
        let text = text.collect::<String>();
        let (_, step) = text.rsplit_once(" lines: Step {")?;
        let (_, height) = step.split_once("height: ")?;
        height.split_once(',')?.0.parse().ok()
    }
}
