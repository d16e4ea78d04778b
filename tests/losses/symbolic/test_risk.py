"""Empirical risks: derivatives against JAX and against the same risk written out, names of entries, refusals."""

from __future__ import annotations

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sympy

import selfstab as ss
from selfstab.kernels import modules
from selfstab.kernels.eigenvalues import TOP_EIGENVALUES
from selfstab.losses.symbolic import risk_formulas
from tests.losses.jax_networks import CHEAP

RNG = np.random.default_rng(5)
POINTS = RNG.standard_normal((5, 3))
LABELS = np.sign(POINTS @ [1.0, -2.0, 0.5] + 0.3 * RNG.standard_normal(5))
INPUTS = np.linspace(-2.0, 2.0, 4)
TARGETS = np.sin(2 * INPUTS)


@pytest.fixture
def plain(monkeypatch):
    """Run all derivatives by plain CPython, which has the same bits: compilations take longer than these tests."""
    monkeypatch.setattr("selfstab.losses.base.kernel.PLAIN_STEPS", 10**9)


def logistic(count=5):
    return ss.EmpiricalRisk(
        "log(1 + exp(-y*dot(w, x))) + c*dot(w, w)/2",
        {"w": 3},
        {"x": POINTS[:count], "y": LABELS[:count]},
        {"c": 0.1},
    )


def tanh_network():
    text = "(v[0]*tanh(a[0]*x + b[0]) + v[1]*tanh(a[1]*x + b[1]) - y)**2/2"
    return ss.EmpiricalRisk(text, {"v": 2, "a": 2, "b": 2}, {"x": INPUTS, "y": TARGETS})


def linear_network():
    text = "(dot(u, v)*x/3 - y)**2/2"
    return ss.EmpiricalRisk(text, {"u": 9, "v": 9}, {"x": INPUTS, "y": TARGETS})


def mixed():
    """Every kind of operation: powers of all signs, kinks, a power of two, exponentials of one argument."""
    text = (
        "sqrt(1 + (w - x)**2) + abs(w*x)**3 + 2/(1 + exp(x*w)) + exp(2*x*w)/9 + (2 + v**2*x**2)**(-3/2)"
        " + 1/(2 + cos(v + x))**2 + (1 + v**2)**0.7*x + s[1]*sin(v)*s[0]"
    )
    return ss.EmpiricalRisk(text, ["w", "v"], {"x": INPUTS}, {"s": [0.3, -2.0]})


def of_logistic(w):
    return jnp.mean(jnp.logaddexp(0.0, -LABELS * (POINTS @ w))) + 0.05 * w @ w


def of_tanh_network(w):
    v, a, b = w.reshape(3, 2)
    return jnp.mean((jnp.tanh(INPUTS[:, None] * a + b) @ v - TARGETS) ** 2) / 2


def of_linear_network(w):
    return jnp.mean((w[:9] @ w[9:] * INPUTS / 3 - TARGETS) ** 2) / 2


def of_mixed(at):
    w, v = at
    x = INPUTS
    terms = (
        jnp.sqrt(1 + (w - x) ** 2) + jnp.abs(w * x) ** 3 + 2 / (1 + jnp.exp(x * w)) + jnp.exp(2 * x * w) / 9
    )
    terms += (2 + v**2 * x**2) ** -1.5 + 1 / (2 + jnp.cos(v + x)) ** 2 + (1 + v**2) ** 0.7 * x
    return jnp.mean(terms) - 0.6 * jnp.sin(v)


CASES = {
    "logistic": (logistic, of_logistic),
    "tanh network": (tanh_network, of_tanh_network),
    "linear network": (linear_network, of_linear_network),
    "mixed": (mixed, of_mixed),
}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_jax(name):
    """Protects all derivatives by the chain rule, up to the fourth: JAX derives the same risk from NumPy code."""
    make, same = CASES[name]
    risk = make()
    w, u, v, z = np.random.default_rng(1).normal(0, 0.7, (4, risk.dimension))

    def along(f, direction):
        return lambda at: jax.jvp(f, (at,), (direction,))[1]

    def near(one, other):
        other = np.asarray(other)
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11 * (1 + np.abs(other).max()))

    @partial(jax.jit, compiler_options=CHEAP)
    def of_jax(w):
        third, fourth = along(along(same, u), v), along(along(along(same, u), v), z)
        return same(w), jax.grad(same)(w), jax.hessian(same)(w), jax.grad(third)(w), jax.grad(fourth)(w)

    value, gradient, hessian, third, fourth = of_jax(w)
    near(risk.value(w), value)
    near(risk.gradient(w), gradient)
    near(risk.hessian(w), hessian)
    near(risk.third(w, u, v), third)
    near(risk.fourth(w, u, v, z), fourth)
    near(risk.sharpness(w)[0], np.linalg.eigvalsh(hessian)[-1])


def test_is_the_risk_written_out():
    """Protects the mean, its divisor and the terms outside it: the same as one formula of three samples, and of one."""
    w, u, v = np.random.default_rng(2).standard_normal((3, 3))
    for count in (1, 3):
        risk = logistic(count)
        terms = (
            f"log(1 + exp({-y!r}*({a!r}*w_0 + {b!r}*w_1 + {d!r}*w_2)))/{count}"
            for (a, b, d), y in zip(POINTS[:count].tolist(), LABELS[:count].tolist(), strict=True)
        )
        text = " + ".join([*terms, "c*(w_0**2 + w_1**2 + w_2**2)/2"])
        written = ss.SymbolicLoss(text, ["w_0", "w_1", "w_2"], {"c": 0.1})
        assert risk.weight_names == written.weight_names
        for name, arguments in (("value", ()), ("gradient", ()), ("hessian", ()), ("third", (u, v))):
            one, other = (np.asarray(getattr(loss, name)(w, *arguments)) for loss in (risk, written))
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", CASES)
def test_keeps_the_contract_of_a_loss(name):
    """Protects what takes any loss: check_loss fits the derivatives, compares kernel and methods, pickles."""
    risk = CASES[name][0]()
    ss.check_loss(risk, np.random.default_rng(3).normal(0, 0.5, risk.dimension))


def test_compiled_and_plain_derivatives_have_the_same_bits(plain_engine, same_bits, monkeypatch):
    """Protects results from how often a risk was called: small work is plain Python, and the bits are the same."""
    risk = tanh_network()
    w, u, v = np.random.default_rng(4).standard_normal((3, 6))

    def all_of():
        pair = risk.sharpness(w)
        return np.concatenate([[risk.value(w), pair[0]], risk.gradient(w), risk.hessian(w).ravel()])

    monkeypatch.setattr("selfstab.losses.base.kernel.PLAIN_STEPS", 10**9)
    plain = all_of()
    third = risk.third(w, u, v)
    monkeypatch.setattr("selfstab.losses.base.kernel.PLAIN_STEPS", 0)
    assert same_bits(all_of(), plain)
    assert same_bits(risk.third(w, u, v), third)


def test_small_calls_add_up_to_a_compilation(monkeypatch):
    """Protects loops over gradients from minutes of plain Python: past work counts, so compiled code takes over."""
    risk = ss.EmpiricalRisk("(w*x - y)**2/7", "w", {"x": INPUTS, "y": TARGETS})
    compiled = []
    monkeypatch.setattr("selfstab.losses.base.kernel.PLAIN_STEPS", 15)

    class Compiled:
        @staticmethod
        def gradient(*arguments):
            compiled.append(1)
            modules.plain(risk.kernel.source.formulas.derivatives)["gradient"](*arguments)

    monkeypatch.setattr(modules, "compiled", lambda source: Compiled)
    for _ in range(5):
        risk.gradient([1.0])
    assert len(compiled) == 2  # 3 · 4 samples <= 15


def test_source_does_not_depend_on_the_data():
    """Protects the time to compile: another number of samples, and other data, are the same source."""
    one, other = logistic(5), logistic(3)
    assert one.source(["phase"]) == other.source(["phase"])
    assert one.kernel.run_source() == other.kernel.run_source()
    assert repr(float(POINTS[0, 0])) not in one.source(["phase"])


def test_source_grows_slowly_with_the_weights():
    """Protects the time to compile of wide networks: 18 weights have 171 second derivatives, each in few lines."""
    lines = dict.fromkeys((4, 9), 0)
    for m in lines:
        risk = ss.EmpiricalRisk("(dot(u, v)*x - y)**2", {"u": m, "v": m}, {"x": INPUTS, "y": TARGETS})
        own = risk.source(["final_sharpness"]).replace(
            TOP_EIGENVALUES, ""
        )  # the same for any number of weights
        lines[m] = len(own.splitlines())
    assert lines[9] < 1_000
    assert lines[9] < 3 * lines[4]


def test_order_of_weights_does_not_matter():
    """Protects the flattening: permuted weights give the permuted derivatives and the same sharpness."""
    w = np.random.default_rng(6).standard_normal(6)
    order = [4, 1, 5, 0, 3, 2]
    names = ["v_0", "v_1", "a_0", "a_1", "b_0", "b_1"]
    text = "(v_0*tanh(a_0*x + b_0) + v_1*tanh(a_1*x + b_1) - y)**2/2"
    other = ss.EmpiricalRisk(text, [names[k] for k in order], {"x": INPUTS, "y": TARGETS})
    np.testing.assert_allclose(other.gradient(w[order]), tanh_network().gradient(w)[order], rtol=1e-13)
    np.testing.assert_allclose(other.sharpness(w[order])[0], tanh_network().sharpness(w)[0], rtol=1e-13)


def test_every_spelling_of_an_entry_is_the_same():
    """Protects text and SymPy: x[0], x_0, x0, an indexed base and plain symbols are one formula."""
    data = {"x": POINTS[:, :2], "y": LABELS}
    base, weights = sympy.IndexedBase("x"), sympy.IndexedBase("w")
    x_0, x1, w0, w_1, y = sympy.symbols("x_0 x1 w0 w_1 y")
    spellings = [
        "(dot(w, x) - y)**2",
        "(w[0]*x[0] + w[1]*x[1] - y)**2",
        "( w_0*x_0+w1 * x[ 1 ] - y)**2",
        "(dot( x ,w ) - y)**2.0",
        (weights[0] * base[0] + weights[1] * base[1] - y) ** 2,
        (w0 * x_0 + w_1 * x1 - y) ** 2,
    ]
    losses = [ss.EmpiricalRisk(spelling, {"w": 2}, data) for spelling in spellings]
    assert len({loss.source(["final_loss"]) for loss in losses}) == 1
    assert len({repr(loss) for loss in losses}) == 1


def test_a_vector_of_one_is_a_number():
    """Protects widths along a loop: a vector of one is called as the number is, with or without an index."""
    one = ss.EmpiricalRisk("(dot(w, x) + b - 1)**2", {"w": 1, "b": 1}, {"x": INPUTS[:, None]})
    other = ss.EmpiricalRisk("(w[0]*x + b[0] - 1)**2", {"w": 1, "b": 1}, {"x": INPUTS[:, None]})
    assert one.weight_names == other.weight_names == ("w", "b")
    assert one.gradient([0.3, 0.2]).tolist() == other.gradient([0.3, 0.2]).tolist()


def test_parameters_are_numbers_and_vectors():
    """Protects array parameters: their entries are parameters of a sweep, and a whole one is replaced by name."""
    risk = ss.EmpiricalRisk("(w - dot(c, x) - d)**2", "w", {"x": POINTS}, {"c": [1.0, 2.0, 3.0], "d": 0.5})
    assert dict(risk.parameters) == {"c_0": 1.0, "c_1": 2.0, "c_2": 3.0, "d": 0.5}
    expected = np.mean((0.2 - POINTS @ [1.0, 5.0, 3.0] - 0.5) ** 2)
    for other in (risk.replace(c_1=5.0), risk.replace(c=[1.0, 5.0, 3.0])):
        assert other.value([0.2]) == pytest.approx(expected, rel=1e-14)
    with pytest.raises(ValueError, match=r"c must have shape \(3,\), got shape \(2,\)"):
        risk.replace(c=[1.0, 2.0])


def test_is_what_it_was_after_pickling_and_from_its_state(same_bits):
    """Protects processes, clusters and stores: the copy has the same derivatives and the same state."""
    for risk in (logistic(), mixed()):
        for other in (pickle.loads(pickle.dumps(risk)), ss.EmpiricalRisk.from_state(risk.state())):
            w = np.linspace(-0.5, 0.5, risk.dimension)
            assert same_bits(other.hessian(w), risk.hessian(w))
            assert repr(other) == repr(risk)
            assert other.source() == risk.source()


def test_the_description_is_short_and_tells_data_apart():
    """Protects datasets' attributes: a line with the data by shape and hash, at any number of entries."""
    texts = {repr(logistic(count)) for count in (4, 5)}
    assert len(texts) == 2
    assert "x 5x3, y 5, sha256 " in repr(logistic())
    wide = ss.EmpiricalRisk("(dot(w, x) - dot(c, z))**2", {"w": 20}, {"x": np.ones((2, 20)), "z": np.ones((2, 20))},
                            {"c": np.ones(20)})  # fmt: skip
    assert len(repr(wide)) < 700
    assert "\n" not in repr(wide)


def test_data_are_copied():
    """Protects a risk from its caller: later changes of the arrays, or of those it hands out, change nothing."""
    x = INPUTS.copy()
    risk = ss.EmpiricalRisk("(w*x - 1)**2", "w", {"x": x})
    before = risk.value([0.5])
    x[:] = 0.0
    risk.data["x"][:] = 0.0
    assert risk.value([0.5]) == before


REFUSED = {
    "lengths": (("w*x*y", "w", {"x": [1.0, 2.0], "y": [1.0]}), "same number of samples in each array, got x 2, y 1"),
    "nan": (("w*x", "w", {"x": [1.0, np.nan]}), r"data\['x'\] must be finite, got \[1.0, nan\]"),
    "shape": (("w*x", "w", {"x": np.ones((2, 2, 2))}), r"data\['x'\] must have shape \(n,\) or \(n, d\)"),
    "empty": (("w*x", "w", {"x": []}), r"data\['x'\] must not be empty, got shape \(0,\)"),
    "no data": (("w**2", "w", {}), "data must name at least one array, got none"),
    "data unread": (("w**2", "w", {"x": [1.0]}), "at least one entry of the data, got w.*2: without data it is a Symb"),
    "no weights": (("x**2", "w", {"x": [1.0]}), "at least one of the weights w, got x"),
    "no names": (("x**2", [], {"x": [1.0]}), "weights must name at least one weight, got none"),
    "entry": (("w*x[5]", "w", {"x": POINTS}), r"entries of x that exist, x\[0\] to x\[2\], got x\[5\]"),
    "entry by name": (("w*x_3", "w", {"x": POINTS}), r"entries of x that exist, x\[0\] to x\[2\], got x\[3\]"),
    "index": (("w*x[i]", "w", {"x": POINTS}), r"entries written like x\[0\], with one whole number, got .*: column 4"),
    "vector alone": (("w*x", "w", {"x": POINTS}), r"such as x\[0\], as it is a vector of 3, or dot\(a, b\)"),
    "number with index": (("w*x[0]", "w", {"x": [1.0]}), r"x without an index, as it is one number, got x\[0\]"),
    "dot": (("dot(w, x)", {"w": 2}, {"x": POINTS}), r"dot with vectors of one length, got dot\(w, x\) of 2 and 3"),
    "unknown": (("w*q", "w", {"x": POINTS}), r"declared names only \(w, x \(3\)\), got q"),
    "repeated": (("w*x", ["w", "x"], {"x": [1.0]}), "must not repeat a name.*, got x of x and of x: rename one"),
    "repeated entry": (("w*x", ["x_1"], {"x": POINTS}), r"got x_1 of x_1 and of x \(3\)"),
    "many weights": (("dot(w, w)*x", {"w": 200}, {"x": [1.0]}), "at most 32, .*, got 200: use MLP or FunctionLoss"),
    "reserved": (("w*x*lr", "w", {"x": [1.0]}, {"lr": 1.0}), "parameters must not be named like a sweep's axes"),
    "syntax": (("w*x[0] +", "w", {"x": POINTS}), r"must be a formula, got 'w\*x\[0\] \+': column"),
    "function": (("foo(w*x[1])", "w", {"x": POINTS}), r"got 'foo\(w\*x\[1\]\)': column 1: unknown function 'foo'"),
    "complex": (("w*x*I", "w", {"x": [1.0]}), r"declared names only \(w, x\), got I"),
    "vector of none": (("w*x", "w", {"x": [1.0]}, {"c": []}), "c must hold at least one number, got none"),
    "length": (("w*x", {"w": 0}, {"x": [1.0]}), r"weights\['w'\] must be an integer >= 1, got 0"),
    "identifier": (("w*x", {"w 1": 1}, {"x": [1.0]}), "Python identifiers in normal form, got 'w 1'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_in_one_line(name):
    """Protects from a traceback later: what cannot be is refused with the argument, the value and what is allowed."""
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        ss.EmpiricalRisk(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [("w*x", "w", [1.0]), ("w*x", 3, {"x": [1.0]}), (3, "w", {"x": [1.0]}), ("w*x", "w", {"x": ["a"]}),
     ("w*x", "w", {"x": [1.0]}, [1.0]), ("w*x", {"w": 1.5}, {"x": [1.0]})],
)  # fmt: skip
def test_refuses_what_is_of_another_kind(arguments):
    """Protects from a traceback of NumPy's: arguments of another kind are TypeErrors of one line."""
    with pytest.raises(TypeError, match="must") as caught:
        ss.EmpiricalRisk(*arguments)
    assert "\n" not in str(caught.value)


def test_refuses_data_beyond_memory(monkeypatch):
    """Protects the machine: data that with their copy take more than half of the free memory are refused."""
    monkeypatch.setattr("selfstab.losses.symbolic.risk.machine.free_memory", lambda: 100)
    with pytest.raises(MemoryError, match=r"data\['x'\] has 4 numbers, .*: use fewer samples"):
        ss.EmpiricalRisk("w*x", "w", {"x": INPUTS})


def test_a_large_formula_is_refused_at_once(monkeypatch):
    """Protects from minutes of compilation: operations are counted while they are derived, what is shared once."""
    monkeypatch.setattr("selfstab.losses.symbolic.graph.MOST_STEPS", 30)
    with pytest.raises(ValueError, match=r"at most 30 operations .* what is shared counted once, got more"):
        ss.EmpiricalRisk("exp(tanh(w*x)*sin(v*x))*atan(w + v*x + 77)", "w, v", {"x": INPUTS})


def test_few_entries_of_a_matrix_are_lines_and_many_a_loop(monkeypatch, same_bits):
    """Protects the shorter source: a matrix filled by a loop has the sharpness of one filled line by line."""
    w = np.random.default_rng(8).standard_normal((5, 6))
    text = "(v[0]*tanh(a[0]*x + b[0]) + v[1]*tanh(a[1]*x + b[1]) - 2*y)**2/2 + v[1]*a[1]**2/3"
    values = []
    for few in (10**6, 0):
        monkeypatch.setattr(risk_formulas, "FEW_ENTRIES", few)
        symbols = [sympy.symbols(names, real=True) for names in ("v_0 v_1 a_0 a_1 b_0 b_1", "q:0", "x y")]
        expression = ss.EmpiricalRisk(text, {"v": 2, "a": 2, "b": 2}, {"x": INPUTS, "y": TARGETS}).expression
        formulas = risk_formulas.RiskFormulas(expression, *symbols)
        assert ("PLACES" in formulas.functions) == (few == 0)
        from selfstab.losses.base.kernel import Kernel, KernelSource

        kernel = Kernel(KernelSource(formulas, "a risk"), np.empty(0), np.column_stack([INPUTS, TARGETS]))
        values.append(kernel.evaluate(w, sharpness=True)[1])
    assert same_bits(*values)


@pytest.mark.parametrize(
    ("text", "slope", "curvature", "third"),
    [
        ("where(w > 0, sqrt(w), w**3)*x", lambda w: 3 * w**2, lambda w: 6 * w, 6.0),
        ("where(w > 0, log(sqrt(w)), exp(w))*x", np.exp, np.exp, np.exp(-1.0)),
        ("where(w > -2000, w**4*x, exp(exp(-400*w)))", lambda w: 4 * w**3, lambda w: 12 * w**2, -24.0),
        (
            "(where(w > 0, sqrt(w), w) + where(w > 0, w, sqrt(-w)**4))*x",
            lambda w: 1 + 2 * w,
            lambda w: 2.0,
            0.0,
        ),
        ("where(w > 0, where(w > 1, sqrt(w - 1), 0), w**3)*x", lambda w: 3 * w**2, lambda w: 6 * w, 6.0),
    ],
)
def test_a_piece_that_is_not_chosen_has_no_say(text, slope, curvature, third):
    """Protects the chain rule of choices: 0 times what is infinite or nan in the other piece would be nan."""
    risk = ss.EmpiricalRisk(text, ["w"], {"x": [0.5, 1.5]})
    at, along = np.array([-1.0]), np.ones(1)
    got = [risk.gradient(at)[0], risk.hessian(at)[0, 0], risk.third(at, along, along)[0]]
    np.testing.assert_allclose(got, [slope(-1.0), curvature(-1.0), third], rtol=1e-14)


def test_relu_networks_of_two_layers_have_derivatives_of_their_sides():
    """Protects sums of choices by different conditions, at points where units of both layers are on and off."""
    text = "(c*relu(a*relu(u*x) + b*relu(v*x - 1)) + relu(a*u*x) - y)**2/2"
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(7), rng.standard_normal(7)
    names = ["u", "v", "a", "b", "c"]
    risk = ss.EmpiricalRisk(text, names, {"x": x, "y": y})
    for _ in range(4):
        w = rng.standard_normal(5)

        def slopes(w):
            u, v, a, b, c = w
            inner, other = np.maximum(u * x, 0), np.maximum(v * x - 1, 0)
            outer = a * inner + b * other
            on, product = outer > 0, a * u * x > 0
            left = c * np.maximum(outer, 0) + np.maximum(a * u * x, 0) - y
            parts = [
                c * on * a * (u * x > 0) * x + product * a * x, c * on * b * (v * x > 1) * x,
                c * on * inner + product * u * x, c * on * other, np.maximum(outer, 0),
            ]  # fmt: skip
            return np.array([(left * part).mean() for part in parts])

        step = 1e-6 * np.eye(5)
        rows = [(slopes(w + d) - slopes(w - d)) / 2e-6 for d in step]
        np.testing.assert_allclose(risk.gradient(w), slopes(w), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(risk.hessian(w), rows, rtol=1e-6, atol=1e-7)


def test_data_as_factors_of_exponentials_do_not_overflow():
    """Protects mixtures whose weights are data: log(1 + k exp(−wx)) is k-dependent only where it is small."""
    loss = ss.EmpiricalRisk("log(1 + k*exp(-w*x))", ["w"], {"x": [1.0, 2.0], "k": [1.0, 2.0]})
    assert loss.value([-800.0]) == pytest.approx((800.0 + 1600.0 + np.log(2.0)) / 2, rel=1e-15)
    assert loss.gradient([-800.0]) == pytest.approx([-1.5], rel=1e-15)
    assert loss.hessian([-800.0]) == np.array([[0.0]])
    w, (x, k) = 0.3, (np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    share = k * np.exp(-w * x) / (1 + k * np.exp(-w * x))
    assert loss.hessian([w])[0, 0] == pytest.approx((x**2 * share * (1 - share)).mean(), rel=1e-14)


def test_parameters_are_checked_as_data_are():
    """Protects memory from an array of another kind than a vector, and messages from a name of several lines."""
    columns = {"x": np.ones(2)}
    with pytest.raises(MemoryError, match="c has 2000000000000 numbers"):
        ss.EmpiricalRisk("w*x*c", ["w"], columns, {"c": np.broadcast_to(1.0, (2, 10**12))})
    with pytest.raises(ValueError, match=r"parameters\['c\\n'\] must have shape"):
        ss.EmpiricalRisk("w*x", ["w"], columns, {"c\n": np.ones((2, 2))})
