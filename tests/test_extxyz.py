import bz2
import gzip
import lzma

import ase.io
import numpy as np
import pytest

from symreg.structures import DataSettings, read_structures
from symreg.structures.files import read_images
from symreg.structures.formats.comments import read_comment
from symreg.structures.frames import collect
from symreg.structures.labels import unused_vectors

KEYS = {"energy": "", "forces": "", "stress": ""}
HEADER = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1'
ROWS = "Ar 0 0 0 0 0 0.5\nKr 0 0 2 0 0 -0.5\n"


def images_of(tmp_path, text, name="a.xyz"):
    (tmp_path / name).write_text(text)
    return read_images(tmp_path / name, name)


def frames_of(tmp_path, text):
    images = images_of(tmp_path, text)
    sources = [f"a.xyz frame {k}" for k in range(len(images))]
    return collect(images, sources, keys=KEYS, group_key="group", home="a.xyz")


def frame(header=HEADER, rows=ROWS, n=2):
    return f"{n}\n{header}\n{rows}"


# The comment line


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("a=1 b=2.5 c=word d=T e", {"a": 1, "b": 2.5, "c": "word", "d": True, "e": True}),
        ("a = 1 b='two words' c=\"it's\"", {"a": 1, "b": "two words", "c": "it's"}),
        ('a="1.0D+02" b=run_1 c=1_2 d="T F"', {"a": 100.0, "b": "run_1", "c": "1_2", "d": [1, 0]}),
        (r'a="say \"x=1\"" b=x=y', {"a": 'say "x=1"', "b": "x=y"}),
        ('"odd key"=3 empty="" energy energy=-1', {"odd key": 3, "empty": "", "energy": -1}),
        ('a="_JSON {\\"x\\": 1}"', {"a": {"x": 1}}),
    ],
)
def test_pairs_of_a_comment_line_are_what_they_look_like(line, pairs):
    assert read_comment(line) == pairs


@pytest.mark.parametrize("text", ["[[1, 2], [3, 4]]", "{1 2 3 4}", "[1,2,3,4]", '"1 2 3 4"'])
def test_lists_of_a_comment_line_are_read_in_any_brackets(text):
    np.testing.assert_array_equal(read_comment(f"x={text} y=1")["x"], [1, 2, 3, 4])


def test_public_files_are_read_as_ase_reads_them(shared_data):
    for name in ("copper_dft_train.extxyz", "silicon_mlearn_train.extxyz"):
        ours = read_images(shared_data / name, name)
        theirs = ase.io.read(shared_data / name, ":")
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            for part in ("numbers", "positions", "pbc"):
                np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
            np.testing.assert_array_equal(a.cell.array, b.cell.array)
            np.testing.assert_array_equal(a.arrays["forces"], b.calc.results["forces"])
            assert a.info["energy"] == b.calc.results["energy"]
            assert {k: a.info[k] for k in b.info} == b.info


# Keys in any case


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_the_keys_of_the_format_are_known_in_any_case(tmp_path, change):
    header = HEADER
    for key in ("Lattice", "Properties", "energy"):
        header = header.replace(key, change(key))
    (one,) = frames_of(tmp_path, frame(f'{header} {change("pbc")}="T T F"'))
    assert one.atoms.pbc.tolist() == [True, True, False]
    assert one.atoms.cell.array.tolist() == (4 * np.eye(3)).tolist()
    assert one.labels.energy == -1
    np.testing.assert_array_equal(one.labels.forces[:, 2], [0.5, -0.5])


@pytest.mark.parametrize(
    ("pbc", "expected"),
    [
        ('"0 0 0"', [False] * 3),
        ('"1 1 0"', [True, True, False]),
        ('"F F F"', [False] * 3),
        ("F", [False] * 3),
        ("[True, False, True]", [True, False, True]),
    ],
)
def test_periodicity_is_read_as_written(tmp_path, pbc, expected):
    (atoms,) = images_of(tmp_path, frame(f"{HEADER} PBC={pbc}"))
    assert atoms.pbc.tolist() == expected


def test_files_of_kliff_are_read_as_written(tmp_path):
    header = HEADER.replace("forces", "For").replace("energy", "Energy") + ' PBC="0 0 0"'
    (one,) = frames_of(tmp_path, frame(header))
    assert not one.atoms.pbc.any()
    assert one.labels.keys == {"energy": "Energy", "forces": "For"}


def test_columns_may_come_in_any_order_and_kind(tmp_path):
    header = "Properties=forces:R:3:Z:I:1:fixed:L:1:Pos:r:3:tag:S:1:site:I:2 energy=-1"
    (atoms,) = images_of(tmp_path, frame(header, "0 0 1 29 T 1 2 3.0D+00 a 1 2\n", n=1))
    assert atoms.get_chemical_formula() == "Cu"
    assert atoms.positions.tolist() == [[1, 2, 3]]
    assert atoms.arrays["fixed"].tolist() == [True]
    assert atoms.arrays["tag"].tolist() == ["a"]
    assert atoms.arrays["site"].tolist() == [[1, 2]]


def test_keys_may_differ_from_frame_to_frame(tmp_path):
    other = HEADER.replace("energy", "REF_energy").replace("forces", "dft_force")
    bare = "Properties=species:S:1:pos:R:3 energy=-3"
    one, two, three = frames_of(tmp_path, frame() + frame(other) + frame(bare, "Ar 0 0 0\n", n=1))
    assert one.labels.keys == {"energy": "energy", "forces": "forces"}
    assert two.labels.keys == {"energy": "REF_energy", "forces": "dft_force"}
    assert three.labels.keys == {"energy": "energy"}
    assert np.isnan(three.labels.forces).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (frame("pbc=T " + HEADER + " PBC=F"), r"frame 0 has both pbc= and PBC=; remove one"),
        (frame(HEADER + " energy=-2"), "frame 0 has both energy=-1 and energy=-2; remove one"),
        (frame(HEADER + ' pbc="T T"'), r"frame 0: pbc is .*three of T and F"),
        (frame(HEADER + " pbc=yes"), r"frame 0: pbc is 'yes'; it must be three of T and F"),
        (frame(HEADER.replace(" 0 4", " 4")), "frame 0: Lattice is .*nine numbers"),
        (frame(HEADER.replace("R:3:f", "Q:3:f")), "'pos' as 'Q:3'; it must be R, I, S or L"),
        (frame(HEADER.replace("pos", "place")), r"lacks species:S:1 or pos:R:3"),
        (frame(HEADER.replace("species", "name")), r"lacks species:S:1 or pos:R:3"),
        (frame(HEADER.replace("forces:R:3", "forces:R")), "it must be name:kind:columns"),
        (frame(HEADER.replace("forces", "pos")), "each name once"),
        (frame(rows=ROWS.replace("0 -0.5", "-0.5")), r"line 4 has 6 columns, but Properties"),
        (frame("energy=1"), "line 3 has 7 columns, but without Properties there are 4; .*forces:R"),
        (frame(rows=ROWS.replace("-0.5", "x")), "line 4: 'x' in column forces is not a number"),
        (frame(rows=ROWS.replace("-0.5", "****")), "'....' in column forces .* format was too"),
        (frame(rows=ROWS.replace("Kr", "Xx")), "frame 0, line 4: 'Xx' is not an element"),
        (
            frame() + frame(n=3),
            r"frame 1 says that it has 3 atoms, but the file ends after 2;",
        ),
        (
            frame(n=1) + frame(),
            r"frame 1, line 4: expected a number of atoms, .*Kr .* 1 a",
        ),
        (frame(n=-2), "expected a number of atoms, found '-2'; the file begins with it"),
        (frame(n="2.0"), "expected a number of atoms, found '2.0'"),
        (frame(n=10**9), "says 1000000000 atoms, more than a file of .* bytes can hold"),
        (frame(n="1" + 5000 * "0"), "says 10000000000000000000 atoms, more than a file of"),
        ("0\n\n", "frame 0 has no atoms"),
        ("\n\n", " holds no structures"),
    ],
)
def test_frame_that_is_not_what_its_header_says_stops_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"^a\.xyz.*{message}"):
        frames_of(tmp_path, text)


def test_blank_lines_and_windows_line_ends_do_no_harm(tmp_path):
    text = "\ufeff" + frame() + "\n\n" + frame() + "\n"
    (tmp_path / "a.xyz").write_bytes(text.replace("\n", "\r\n").encode())
    assert len(read_images(tmp_path / "a.xyz", "a.xyz")) == 2


@pytest.mark.parametrize(
    "comment", [" i =        0, time =        0.000, E =       -17.1646447508", "i = 3, E = -1.5"]
)
def test_position_file_of_cp2k_stops_with_the_way_out(tmp_path, comment):
    with pytest.raises(ValueError, match=r"frame 0 is of a position file of CP2K.*hartree.*output"):
        images_of(tmp_path, f"1\n{comment}\nAr 0 0 0\n")


@pytest.mark.parametrize(("suffix", "module"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
def test_compressed_files_are_read(tmp_path, suffix, module):
    with module.open(tmp_path / f"a.xyz{suffix}", "wt") as file:
        file.write(frame())
    settings = DataSettings(train=(f"*.xyz{suffix}",), validation_fraction=0)
    structures, _ = read_structures(settings, tmp_path)
    assert structures.source == (f"a.xyz{suffix} frame 0",)
    assert structures.energy.tolist() == [-1]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_damaged_compressed_file_is_named(tmp_path, suffix):
    (tmp_path / f"a.xyz{suffix}").write_text("no such thing")
    with pytest.raises(ValueError, match=rf"a\.xyz\{suffix} is damaged"):
        read_images(tmp_path / f"a.xyz{suffix}", f"a.xyz{suffix}")


def test_words_of_a_comment_are_no_labels(tmp_path):
    text = "frames for training: the energy of a box, unit cell, stress" + HEADER.replace(
        "Latt", " Latt"
    )
    (one,) = frames_of(tmp_path, frame(text))
    assert one.labels.keys == {"energy": "energy", "forces": "forces"}


def test_energies_and_virials_of_single_atoms_are_not_those_of_the_frame(tmp_path):
    header = HEADER.replace("forces:R:3", "forces:R:3:energy:R:1:virial:R:6")
    rows = ROWS.replace("\n", " -0.5 1 2 3 4 5 6\n")
    (one,) = frames_of(tmp_path, frame(header, rows))
    assert one.labels.keys == {"energy": "energy", "forces": "forces"}
    assert one.labels.energy == -1


# What a report can say


def test_arrays_that_may_be_forces_are_listed_likely_ones_first(tmp_path):
    header = "Properties=species:S:1:pos:R:3:aux:R:3:momenta:R:3:gradient:R:3:tags:I:3 energy=1"
    rows = "Ar 0 0 0 1 1 1 2 2 2 3 3 3 4 4 4\n"
    (one,) = frames_of(tmp_path, frame(header, rows, n=1))
    assert unused_vectors(one.atoms) == ["gradient", "aux"]


@pytest.mark.parametrize(
    ("flag", "converged"),
    [
        ("scf_converged=F", False),
        ("converged=false", False),
        ("SCF-Converged=0", False),
        ("unconverged=T", False),
        ("scf_converged=T", True),
        ("converged=1", True),
        ("convergence=1e-6", True),
        ("not_converged=F", True),
    ],
)
def test_a_frame_says_that_it_did_not_converge(tmp_path, flag, converged):
    one, other = frames_of(tmp_path, frame() + frame(f"{HEADER} {flag}"))
    assert (one.converged, other.converged) == (True, converged)
