use alloc::collections::BTreeSet;

use super::*;

fn content(nodes: u32) -> Content {
    Content::new(ContentPlan::new(nodes), 7)
}

#[test]
fn one_seed_one_content() {
    let (a, b) = (content(300), content(300));
    assert_eq!(a.files(), b.files());
    let asked = |content: &Content| content.queries(None, By::Words, 50, 1);
    assert_eq!(asked(&a), asked(&b));
    assert_ne!(asked(&a), a.queries(None, By::Words, 50, 2));
    assert_ne!(a.files(), Content::new(ContentPlan::new(300), 8).files());
}

/// In a log-log plot the copies lie on a line with the slope asked for, until they come down to one.
#[test]
fn copies_follow_zipf() {
    let content = content(10_000);
    let copies = |rank: u32| content.file(rank - 1).holders.len() as f64;
    for (near, far) in [(1, 10), (2, 20), (10, 100)] {
        let slope = libm::log(copies(near) / copies(far)) / libm::log(10.0);
        assert!(libm::fabs(slope - 0.8) < 0.03, "ranks {near} and {far}: {slope}");
    }
    let all: usize = content.files().iter().map(|file| file.holders.len()).sum();
    assert!((19_000..24_000).contains(&all), "{all} copies for 10,000 nodes");
}

#[test]
fn words_follow_zipf_with_an_offset() {
    let content = content(10_000);
    let names = |word: usize| content.index[word].len();
    assert!((300..800).contains(&names(0)), "the commonest word: {} names", names(0));
    // Rank 100 is (100 + 10) / (1 + 10) times rarer.
    let ratio = names(0) as f64 / content.index[90..110].iter().map(Vec::len).sum::<usize>() as f64;
    assert!((0.4..0.65).contains(&ratio), "{ratio}");
}

#[test]
fn both_classes_exist_at_every_size() {
    for nodes in [100, 300, 1_000, 10_000] {
        let content = content(nodes);
        let count = |class| (0..nodes).filter(|file| content.class(*file) == class).count();
        assert!(count(Class::Rare) > nodes as usize / 3, "{nodes}: {}", count(Class::Rare));
        assert!((2..=30).contains(&count(Class::Popular)), "{nodes}: {}", count(Class::Popular));
    }
}

#[test]
fn a_quarter_shares_nothing() {
    let content = content(1_000);
    let idle = (0..1_000).filter(|place| content.shelf(*place).is_empty()).count();
    assert!((250..350).contains(&idle), "{idle}");
}

#[test]
fn shelves_and_holders_agree() {
    let content = content(200);
    for (number, file) in (0..).zip(content.files()) {
        let have = (0..200).filter(|place| content.shelf(*place).contains(&number));
        assert_eq!(have.collect::<Vec<_>>(), file.holders);
    }
}

#[test]
fn matching_is_what_a_look_at_every_name_finds() {
    let content = content(2_000);
    for query in content.queries(None, By::Words, 60, 3) {
        let carries =
            |file: &u32| query.words.iter().all(|w| content.file(*file).words.contains(w));
        let all: Vec<u32> = (0..2_000).filter(carries).collect();
        assert_eq!(content.matching(&query.words), all);
        assert!(all.contains(&query.file));
    }
    assert!(content.matching(&[]).is_empty());
}

#[test]
fn who_asks_does_not_have_it_and_the_class_is_the_one_asked_for() {
    let content = content(500);
    for class in [Class::Rare, Class::Popular] {
        for query in content.queries(Some(class), By::Key, 100, 4) {
            assert_eq!(content.class(query.file), class);
            assert!(!content.file(query.file).holders.contains(&query.asker));
            assert_eq!(query.words, content.file(query.file).words);
        }
    }
}

#[test]
fn words_differ() {
    let words: BTreeSet<String> = (0..20_000).map(name::of_word).collect();
    assert_eq!(words.len(), 20_000);
    assert_eq!(name::of_word(0), "baba");
    assert_eq!(name::of_word(6_400), "bababa");
}
