import tomllib
from pathlib import Path
from typing import get_args

import pytest

from symreg import config
from symreg.config import DataSettings, SearchSettings, SettingsError, TermSettings
from symreg.runs.pipeline.modes import island_settings
from symreg.typed import hints_of, ranges_in


@pytest.fixture
def run_file(tmp_path):
    def write(text, overrides=None):
        path = tmp_path / "argon.toml"
        path.write_text(text, encoding="utf-8")
        return config.load(path, overrides)

    return write


DATA = '[data]\ntrain = ["argon.extxyz"]\n'


def test_a_run_file_needs_no_more_than_data(run_file, tmp_path):
    settings = run_file(DATA)
    assert settings.data.train == ("argon.extxyz",)
    assert settings.terms.cutoff_function.to_dict() == {
        "kind": "septic",
        "r_cut": 6.0,
        "r_on": pytest.approx(3.6),
    }
    assert settings.search.minutes == 10.0
    assert settings.folder == tmp_path / "run"


def test_a_function_holds_three_sums_unless_told_otherwise(run_file):
    assert run_file(DATA).terms.max_sums == 3
    settings = run_file(DATA + "[terms]\nmany_body = true\nmax_sums = 9\n")
    assert settings.terms.max_sums == 9
    assert island_settings(settings).variation.max_sums == 9
    assert tomllib.loads(config.dumps(settings))["terms"]["max_sums"] == 9


def test_one_file_may_stand_without_brackets(run_file):
    assert run_file('[data]\ntrain = "argon.extxyz"\n').data.train == ("argon.extxyz",)


def test_epochs_take_the_place_of_minutes(run_file):
    search = run_file(DATA + "[search]\nepochs = 3\n").search
    assert (search.minutes, search.epochs) == (None, 3)


def test_an_onset_in_angstrom_takes_the_place_of_the_fraction(run_file):
    terms = run_file(DATA + "[terms]\nr_on = 4.5\n").terms
    assert terms.cutoff_onset is None
    assert terms.cutoff_function.r_on == 4.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[search]\ngeneration = 3",
            "[search] has no setting 'generation'; did you mean 'generations_per_epoch'?",
        ),
        ("[search]\nr_cut = 3.0", "[search] has no setting 'r_cut'; it belongs to [terms]"),
        ("[serach]\nseed = 1", "there is no table [serach]; did you mean [search]?"),
        ('[terms]\nr_cut = "5"', '[terms] r_cut is "5"; it must be a number'),
        ("[terms]\nr_cut = -1.0", "[terms] r_cut is -1; it must be from 0.1 to 100 Å"),
        ("[terms]\nr_cut = nan", "[terms] r_cut is nan; it must be from 0.1 to 100 Å"),
        ("[terms]\nr_on = 7.0", "onset radius is 7 Å; it must lie between 0"),
        ("[terms]\nr_on = 4.0\ncutoff_onset = 0.5", "both cutoff_onset and r_on"),
        ('[terms]\ncutoff = "quintic"', "[terms] cutoff is 'quintic'; it must be one of none"),
        ('[terms]\nr0 = "far"', '[terms] r0 is "far"; it must be "nearest" or a length'),
        ('[terms]\ne0 = "zero"', '[terms] e0 is "zero"; it must be "fit", "isolated" or a table'),
        (
            '[terms]\nthree_body = "separable"\nmax_complexity = 12',
            "[terms] max_complexity is 12; it must be at least 20, or there is nothing to search",
        ),
        ("[terms]\nmax_complexity = 2", "[terms] max_complexity is 2; it must be from 3 to 1,000"),
        ('[terms]\nthree_body = "any"', '[terms] three_body is "any"; it must be "separable",'),
        ("[terms]\nr_cut_three_body = 4.0", "[terms] r_cut_three_body has no effect without"),
        ('[terms]\ncutoff_three_body = "none"', "[terms] cutoff_three_body has no effect without"),
        ("[terms]\nr_on_three_body = 2.0", "[terms] r_on_three_body has no effect without"),
        (
            "[terms]\nstillinger_weber_s_three_body = 1.0",
            "[terms] stillinger_weber_s_three_body has no effect without three-body terms; "
            'set three_body = "separable", or leave it out',
        ),
        (
            "[terms]\nthree_body = true\nr_cut_three_body = 0.0",
            "[terms] r_cut_three_body is 0; it must be from 0.1 to 100 Å",
        ),
        ("[terms]\nmany_body = true\nmax_complexity = 19", "max_complexity is 19"),
        ("[terms]\nmax_constants = 0", "max_constants is 0"),
        ("[terms]\nmany_body = true\nmax_constants = 1", "at least 2: pair and many-body terms"),
        ("[terms]\nthree_body = true\nmax_constants = 1", "at least 2: pair and three-body terms"),
        (
            "[terms]\nmany_body = true\nthree_body = true\nmax_constants = 2",
            "[terms] max_constants is 2; it must be at least 3: pair and three-body and many-body "
            "terms have a weight each",
        ),
        ("[terms]\nmax_sums = 0", "[terms] max_sums is 0; it must be from 1 to 9"),
        ("[terms]\nmax_sums = 10", "[terms] max_sums is 10; it must be from 1 to 9"),
        ("[terms]\nmax_sums = 1.5", "[terms] max_sums is 1.5; it must be an integer"),
        ("[terms]\npair = false", "every formula needs pair terms"),
        (
            "[loss]\nsigma_forces = 0",
            "[loss] sigma_forces is 0; it must be from 1e-08 to 10000 eV/Å",
        ),
        ("[loss]\nsigma_stress = -1", "to 10000 eV/Å³, or 0 to leave stresses out"),
        ('[search]\nmode = "exhaust"', 'is "exhaust"; it must be "evolution" or "exhaustive"'),
        (
            '[search]\nmode = "exhaustive"\nepochs = 3',
            "epochs has no effect in the exhaustive mode",
        ),
        (
            '[search]\nmode = "exhaustive"\n[terms]\nmany_body = true',
            "[terms] many_body is true; the exhaustive mode lists pair and separable",
        ),
        (
            '[search]\nmode = "exhaustive"\n[terms]\nthree_body = "general"',
            'separable three-body terms only: set three_body = "separable"',
        ),
        (
            '[search]\nmode = "exhaustive"\n[terms]\nmax_constants = 3',
            "[terms] max_constants has no effect in the exhaustive mode",
        ),
        (
            "[search]\nstagnation = 0",
            "[search] stagnation is 0; it must be from 1 to 1,000,000,000",
        ),
        ("[search]\nworkers = -2", "[search] workers is -2; it must be from 1 to 1,024"),
        ("[search]\nseed = 1.5", "[search] seed is 1.5; it must be an integer"),
        ("[search]\nseed = true", "[search] seed is true; it must be an integer"),
        ("[search]\nworkers = 0", "[search] workers is 0; it must be from 1 to 1,024"),
        ("[search]\nminutes = 0.0", "[search] minutes is 0; it must be from 1e-06 to 1e+06"),
        ("[search]\npopulation_size = 1000000000", "is 1000000000; it must be from 4 to 100,000"),
        ("[search]\nislands = 1000000", "[search] islands is 1000000; it must be from 1 to 10,000"),
        (
            "[search]\nislands = 9999\npopulation_size = 100000",
            "[search] islands is 9999; it must be at most 20 with population_size = 100000",
        ),
        ("[search]\nmax_memory = inf", "[search] max_memory is inf; it must be from 0.01 to"),
        ("[search]\ntarget = nan", "[search] target is nan; it must be from 1e-12 to 1e+12"),
        ("[search]\nseed = -1", "[search] seed is -1; it must be from 0 to 1e+18"),
        ("[search]\nexhaustive_complexity = 40", "exhaustive_complexity is 40; it must be from 3"),
        ("[loss]\nsigma_energy = 1e-300", "[loss] sigma_energy is 1e-300; it must be from 1e-08"),
        ("[terms]\nr0 = 1e300", "[terms] r0 is 1e+300; it must be from 0.001 to 1000 Å"),
        ("[terms]\ne0 = { Ar = inf }", "[terms.e0] Ar is inf; it must be from -1e+08 to 1e+08 eV"),
        ("[terms]\ncutoff_onset = 1.0", "is 1; it must be from 0 up to but not including 1"),
        ("[data.weights]\nbulk = nan", "[data.weights] bulk is nan; it must be from 0 to 1e+06"),
        ('[output]\nfolder = ""', '[output] folder is ""; it must be the name of a folder'),
        ("seed = ", "argon.toml is not valid TOML: Invalid value (at line 3"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write(run_file, text, message):
    with pytest.raises(SettingsError) as caught:
        run_file(DATA + text + "\n")
    assert message in str(caught.value)


def test_every_wrong_type_is_reported_at_once(run_file):
    with pytest.raises(SettingsError) as caught:
        run_file(DATA + '[terms]\nr_cut = "5"\n[search]\nseed = 1.5\n')
    assert len(str(caught.value).splitlines()) == 2


def test_a_key_above_every_table_is_sent_to_its_table(run_file):
    with pytest.raises(SettingsError, match=r"'seed' stands outside any table.*\[search\]"):
        run_file("seed = 3\n" + DATA)


def test_data_settings_are_checked_too(run_file):
    with pytest.raises(SettingsError, match=r"\[data\] split is 'halves'"):
        run_file(DATA + 'split = "halves"\n')
    with pytest.raises(SettingsError, match=r"\[data\] train is missing"):
        run_file("[search]\nseed = 1\n")


def test_a_missing_run_file_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match=r"run file .*none.toml does not exist; `symreg init"):
        config.load(tmp_path / "none.toml")


def test_overrides_win_with_and_without_their_table(run_file):
    settings = run_file(
        DATA + "[search]\nseed = 1\n[terms]\ncutoff_onset = 0.5\n",
        {"seed": "3", "terms.r_on": "3", "folder": "out/x", "data.weights.bulk": "2"},
    )
    assert settings.search.seed == 3
    assert settings.terms.r_on == 3.0
    assert settings.output.folder == "out/x"
    assert settings.data.weights == {"bulk": 2.0}


def test_an_unknown_override_is_refused(run_file):
    with pytest.raises(SettingsError, match="no setting 'sead'; did you mean 'seed'"):
        run_file(DATA, {"sead": "3"})


def test_written_settings_read_back_equal(run_file):
    settings = run_file(DATA + '[data.weights]\n"a b" = 2.0\n[terms]\ne0 = { Ar = -0.5 }\n')
    record = tomllib.loads(config.dumps(settings))
    assert config.from_dict(record, settings.base) == settings
    assert record["search"]["population_size"] == 400


def test_settings_written_to_the_run_folder_find_the_same_files(run_file, tmp_path):
    settings = run_file(DATA + '[output]\nfolder = "deep/argon"\n')
    settings.folder.mkdir(parents=True)
    copy = settings.folder / "run.toml"
    copy.write_text(config.dumps(settings, settings.folder), encoding="utf-8")
    again = config.load(copy)
    assert (again.base / again.data.train[0]).resolve() == tmp_path / "argon.extxyz"
    assert again.folder == settings.folder


def test_the_template_holds_the_defaults(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(config.template(["a.extxyz"]), encoding="utf-8")
    plain = config.Settings(data=DataSettings(train=("a.extxyz",)), base=tmp_path)
    assert config.load(path) == plain


def test_settings_built_in_python_are_checked_when_built():
    with pytest.raises(ValueError, match="population_size is 1; it must be from 4 to 100,000"):
        SearchSettings(population_size=1)
    with pytest.raises(ValueError, match="r_cut is 0"):
        TermSettings(r_cut=0.0)
    assert config.Settings(data=DataSettings(train=("a",))).folder == Path("run")


def three_body(run_file, *lines):
    return run_file(DATA + "[terms]\nthree_body = true\n" + "\n".join(lines) + "\n").terms


def test_there_are_no_three_body_terms_unless_asked_for(run_file):
    terms = run_file(DATA).terms
    assert terms.three_body is False
    assert terms.cutoff_function_three_body is None


def test_three_body_terms_are_separable_unless_told_otherwise(run_file):
    assert three_body(run_file).three_body == "separable"
    for shape in ("separable", "general"):
        terms = run_file(DATA + f'[terms]\nthree_body = "{shape}"\n').terms
        assert terms.three_body == shape


def test_three_body_radius_is_shorter_unless_given(run_file):
    found = three_body(run_file).cutoff_function_three_body.to_dict()
    assert found == {"kind": "septic", "r_cut": pytest.approx(4.2), "r_on": pytest.approx(2.52)}
    found = three_body(run_file, "r_cut_three_body = 5.0").cutoff_function_three_body.to_dict()
    assert found == {"kind": "septic", "r_cut": 5.0, "r_on": pytest.approx(3.0)}
    terms = three_body(run_file, "r_cut_three_body = 5.0", "r_on_three_body = 2.0")
    assert terms.cutoff_function_three_body.r_on == 2.0
    with pytest.raises(SettingsError, match="onset radius is 6"):
        three_body(run_file, "r_cut_three_body = 5.0", "r_on_three_body = 6.0")


def test_three_body_terms_have_the_cutoff_function_of_pairs_unless_given(run_file):
    stillinger_weber = 'cutoff = "stillinger_weber"', "stillinger_weber_s = 1.5"
    found = three_body(run_file, *stillinger_weber).cutoff_function_three_body
    assert (found.kind, found.s) == ("stillinger_weber", 1.5)
    own = *stillinger_weber, "stillinger_weber_s_three_body = 2.5"
    assert three_body(run_file, *own).cutoff_function_three_body.s == 2.5
    assert three_body(run_file, *own).cutoff_function.s == 1.5
    other = three_body(run_file, 'cutoff_three_body = "cosine"')
    assert other.cutoff_function_three_body.kind == "cosine"
    assert other.cutoff_function.kind == "septic"


def test_three_body_settings_read_back_equal(run_file):
    text = DATA + "[terms]\nthree_body = true\nr_cut_three_body = 3.9\n"
    settings = run_file(text)
    assert config.from_dict(tomllib.loads(config.dumps(settings)), settings.base) == settings


def test_every_number_of_a_run_file_has_a_range():
    for table in config.TABLES.values():
        for name, hint in hints_of(table).items():
            if numbers_in(hint):
                assert ranges_in(hint), f"{table.__name__}.{name} has no range"


def numbers_in(hint):
    return hint in (int, float) or any(numbers_in(part) for part in get_args(hint))


def test_numbers_far_outside_their_ranges_are_refused_in_one_line(run_file):
    for name, table in config.TABLES.items():
        for key, hint in hints_of(table).items():
            for value in ("nan", "inf", "-1e300", "1e300", "9" * 400) if ranges_in(hint) else ():
                written = f"{{ Ar = {value} }}" if key in ("e0", "weights") else value
                text = f"{key} = {written}\n"
                head = DATA if name == "data" else f"{DATA}[{name}]\n"
                with pytest.raises(SettingsError) as caught:
                    run_file(head + text)
                message = str(caught.value)
                assert key in message, (key, value)
                assert len(message) < 300, (key, value)


@pytest.mark.parametrize("name", ["good.extxyz", "good.xyz.gz", "frames"])
def test_structures_in_place_of_a_run_file_are_answered_with_what_takes_them(tmp_path, name):
    path = tmp_path / name
    path.write_text('2\nLattice="9 0 0 0 9 0 0 0 9" energy=-0.01\nAr 0 0 0\nAr 0 0 3.8\n')
    with pytest.raises(SettingsError, match="holds structures, and a run file") as caught:
        config.load(path)
    assert f"`symreg data {path}`" in str(caught.value)
    assert f"`symreg init {path}`" in str(caught.value)
