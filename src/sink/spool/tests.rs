use super::*;

const BIG: u64 = 1 << 30;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(dir: &tempfile::TempDir) -> Spool {
    Spool::open(dir.path(), BIG).expect("opens")
}

fn texts(spool: &Spool) -> Vec<String> {
    let Some(batch) = spool.next_batch(100, BIG).expect("readable") else { return Vec::new() };
    batch.lines().map(|line| String::from_utf8(line.to_vec()).expect("UTF-8")).collect()
}

#[test]
fn what_was_stored_is_there_after_a_restart_in_its_order() {
    let dir = dir();
    let mut spool = open(&dir);
    spool.store(b"a f=1 1\nb f=1 2\n", 2).expect("stored");
    spool.store(b"c f=1 3\n", 1).expect("stored");
    drop(spool);
    let spool = open(&dir);
    assert_eq!(texts(&spool), ["a f=1 1", "b f=1 2", "c f=1 3"]);
    assert_eq!(spool.counts(), Counts { measured: 3, spooled: 3, ..Counts::default() });
}

#[test]
fn a_segment_cut_short_by_a_kill_gives_its_whole_lines() {
    let dir = dir();
    fs::write(dir.path().join("0000000007.lp.tmp"), "a f=1 1\nb f=1 2\nc f=").expect("written");
    fs::write(dir.path().join("0000000008.lp.tmp"), "").expect("written");
    let mut spool = open(&dir);
    assert_eq!(texts(&spool), ["a f=1 1", "b f=1 2"]);
    spool.store(b"d f=1 3\n", 1).expect("stored");
    assert_eq!(texts(&spool).len(), 3);
    assert!(dir.path().join("0000000008.lp").exists());
}

#[test]
fn a_segment_torn_by_a_power_cut_gives_its_whole_lines() {
    let dir = dir();
    fs::write(dir.path().join("0000000001.lp"), "a f=1 1\nb f=").expect("written");
    fs::write(dir.path().join("0000000002.lp"), "").expect("written");
    let spool = open(&dir);
    assert_eq!((texts(&spool), spool.counts().spooled), (vec!["a f=1 1".to_owned()], 1));
    assert_eq!(fs::read(dir.path().join("0000000001.lp")).expect("there"), b"a f=1 1\n");
    assert!(!dir.path().join("0000000002.lp").exists());
}

#[test]
fn what_is_delivered_before_it_is_synced_needs_no_sync() {
    let dir = dir();
    let mut spool = open(&dir);
    spool.store(b"a f=1 1\n", 1).expect("stored");
    spool.store(b"b f=1 2\n", 1).expect("stored");
    let batch = spool.next_batch(1, BIG).expect("readable").expect("one");
    spool.settle(&batch, 1, &[]).expect("settled");
    spool.take_unsynced().expect("two segments").sync().expect("synced");
    assert!(spool.take_unsynced().is_none());
}

#[test]
fn a_second_kill_during_recovery_finds_the_lines_where_they_were() {
    let dir = dir();
    let unfinished = dir.path().join("0000000007.lp.tmp");
    fs::write(&unfinished, "a f=1 1\nb f=").expect("written");
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("there"));
    let before = inode(&unfinished);
    let spool = open(&dir);
    assert_eq!(texts(&spool), ["a f=1 1"]);
    assert_eq!(inode(&dir.path().join("0000000007.lp")), before, "it was never written anew");
}

#[test]
fn a_dead_letter_cut_short_by_a_kill_comes_again_with_its_segment() {
    let dir = dir();
    fs::write(dir.path().join("rejected.lp"), "# refused\na f=1 1\n# refused\nb f=").expect("written");
    let mut spool = open(&dir);
    assert_eq!(spool.counts().rejected, 1);
    spool.store(b"b f=1 2\n", 1).expect("stored");
    let batch = spool.next_batch(100, BIG).expect("readable").expect("one");
    spool.settle(&batch, 1, &[Rejected { line: 0, reason: "refused".into() }]).expect("settled");
    let letters = fs::read_to_string(dir.path().join("rejected.lp")).expect("there");
    assert_eq!(letters, "# refused\na f=1 1\n# refused\n# refused\nb f=1 2\n");
}

#[test]
fn dead_letters_beyond_the_bound_are_counted_as_dropped() {
    let dir = dir();
    let mut spool = Spool::open(dir.path(), BLOCK).expect("opens");
    let long = "x".repeat(3_000);
    let text = format!("a f=\"{long}\" 1\n");
    for _ in 0..2 {
        let text = text.replace(" 1\n", &format!(" {}\n", spool.counts().measured));
        spool.store(text.as_bytes(), 1).expect("stored");
        let batch = spool.next_batch(100, BIG).expect("readable").expect("one");
        spool.settle(&batch, 1, &[Rejected { line: 0, reason: "refused".into() }]).expect("settled");
    }
    assert_eq!(spool.counts(), Counts { measured: 2, rejected: 2, dropped: 1, ..Counts::default() });
    assert_eq!(fs::read_to_string(dir.path().join("rejected.lp")).expect("there").lines().count(), 2);
}

#[test]
fn a_settled_batch_leaves_the_disk_and_its_rejected_lines_are_dead_letters() {
    let dir = dir();
    let mut spool = open(&dir);
    spool.store(b"a f=1 1\nb f=1 2\n", 2).expect("stored");
    let batch = spool.next_batch(100, BIG).expect("readable").expect("one");
    let rejected = [Rejected { line: 1, reason: "field type\nconflict".into() }];
    spool.settle(&batch, 2, &rejected).expect("settled");
    assert_eq!(spool.counts(), Counts { measured: 2, written: 1, rejected: 1, ..Counts::default() });
    let letters = fs::read_to_string(dir.path().join("rejected.lp")).expect("there");
    assert_eq!(letters, "# field type conflict\nb f=1 2\n");
    drop(spool);
    assert_eq!(open(&dir).counts(), Counts { measured: 1, rejected: 1, ..Counts::default() });
}

#[test]
fn a_kill_between_dead_letter_and_removal_does_not_double_the_dead_letter() {
    let dir = dir();
    fs::write(dir.path().join("rejected.lp"), "# refused\nb f=1 2\n").expect("written");
    let mut spool = open(&dir);
    spool.store(b"a f=1 1\nb f=1 2\n", 2).expect("stored");
    assert_eq!(spool.counts().measured, 3);
    let batch = spool.next_batch(100, BIG).expect("readable").expect("one");
    spool.settle(&batch, 2, &[Rejected { line: 1, reason: "refused".into() }]).expect("settled");
    let letters = fs::read_to_string(dir.path().join("rejected.lp")).expect("there");
    assert_eq!(letters, "# refused\nb f=1 2\n");
    assert_eq!(spool.counts(), Counts { measured: 2, written: 1, rejected: 1, ..Counts::default() });
}

#[test]
fn of_a_batch_that_broke_off_only_whole_answered_segments_are_settled() {
    let dir = dir();
    let mut spool = open(&dir);
    spool.store(b"a f=1 1\nb f=1 2\n", 2).expect("stored");
    spool.store(b"c f=1 3\nd f=1 4\n", 2).expect("stored");
    let batch = spool.next_batch(100, BIG).expect("readable").expect("one");
    let rejected = [1, 2].map(|line| Rejected { line, reason: "refused".into() });
    spool.settle(&batch, 3, &rejected).expect("settled");
    assert_eq!(spool.counts(), Counts { measured: 4, written: 1, spooled: 2, rejected: 1, dropped: 0 });
    assert_eq!(texts(&spool), ["c f=1 3", "d f=1 4"]);
}

#[test]
fn small_segments_travel_together_up_to_the_limit() {
    let dir = dir();
    let mut spool = open(&dir);
    for n in 0..5 {
        spool.store(format!("a f=1 {n}\nb f=1 {n}\n").as_bytes(), 2).expect("stored");
    }
    let lines = |max| spool.next_batch(max, BIG).expect("readable").expect("one").lines().count();
    assert_eq!([lines(1), lines(4), lines(5), lines(100)], [2, 4, 4, 10]);
}

#[test]
fn a_full_spool_keeps_the_oldest_and_counts_what_is_dropped() {
    let dir = dir();
    let mut spool = Spool::open(dir.path(), 2 * BLOCK).expect("opens");
    spool.store(b"a f=1 1\n", 1).expect("stored");
    spool.store(b"a f=1 2\n", 1).expect("stored");
    assert!(matches!(spool.store(b"a f=1 3\n", 1), Err(SpoolError::Full { held: 8192, max: 8192, .. })));
    spool.drop_points(1);
    assert_eq!(texts(&spool), ["a f=1 1", "a f=1 2"]);
    assert_eq!(spool.counts(), Counts { measured: 3, spooled: 2, rejected: 1, dropped: 1, written: 0 });
}

#[test]
fn a_spool_has_one_owner() {
    let dir = dir();
    let spool = open(&dir);
    assert!(matches!(Spool::open(dir.path(), BIG), Err(SpoolError::InUse { .. })));
    drop(spool);
    open(&dir);
}
