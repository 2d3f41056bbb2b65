// The store's native block from C++ alone: one writer, several readers, staleness, a restart. Run plain and under
// sanitizers by tests/system/test_store_block_native.py. Expected numbers are the formulas of `make_set` below.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "model_store.hpp"

using namespace calibrig;

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            std::exit(1);                                                            \
        }                                                                            \
    } while (false)

namespace {

struct Set {
    SetNumbers numbers;
    std::vector<double> profile, medians;
    std::vector<std::int64_t> model;
};

// Every number follows from n, so a mixture of two sets is seen; the tails change their length as well.
Set make_set(std::uint64_t n) {
    Set set;
    const double x = static_cast<double>(n);
    for (VersionNumbers& version : set.numbers.versions) {
        version.version_id = n;
        version.updated_at = utc_ns();
        version.calibrated_at = utc_ns();
        version.known_ns = monotonic_ns();
        std::snprintf(version.updated_by, sizeof version.updated_by, "writer %llu", static_cast<unsigned long long>(n));
    }
    set.numbers.alpha_self = x;
    set.numbers.beta = 2.0 * x;
    set.numbers.gamma = 3.0 * x;
    set.numbers.max_position = static_cast<std::int64_t>(4 * n);
    set.profile.assign(1 + n % 48, 5.0 * x);
    set.medians.assign(n % 30, 6.0 * x);
    set.model.assign(n % 500, static_cast<std::int64_t>(7 * n));
    return set;
}

bool publish(StoreBlockWriter& writer, int slot, const Set& set) {
    return writer.publish(slot, set.numbers, set.profile, set.medians, set.model);
}

void check_whole(const SetCopy& set) {
    const std::uint64_t n = set->version(StoreKind::hawkes).version_id;
    const Set expected = make_set(n);
    for (const VersionNumbers& version : set->versions) {
        CHECK(version.version_id == n);
        CHECK(std::string(version.updated_by) == "writer " + std::to_string(n));
    }
    CHECK(set->alpha_self == expected.numbers.alpha_self && set->beta == expected.numbers.beta);
    CHECK(set->gamma == expected.numbers.gamma && set->max_position == expected.numbers.max_position);
    CHECK(std::vector<double>(set.profile().begin(), set.profile().end()) == expected.profile);
    CHECK(std::vector<double>(set.medians().begin(), set.medians().end()) == expected.medians);
    CHECK(std::vector<std::int64_t>(set.model().begin(), set.model().end()) == expected.model);
}

void readers_see_whole_sets_that_never_go_back() {
    constexpr std::uint64_t last = 20'000;
    StoreBlockWriter writer("", 2, std::string(32, 'a'), 1'000'000'000);
    const int slot = writer.slot_of("BTCUSDT");
    CHECK(slot == 0 && writer.slot_of("ETHUSDT") == 1 && writer.slot_of("X") == -1);
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> reads{0};
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i)
        readers.emplace_back([&] {
            const StoreBlockView view(writer);
            SetCopy set;
            std::uint64_t before = 0;
            while (before < last) {
                const bool ended = done.load(std::memory_order_acquire);
                if (view.newest(0) != before && view.read(0, set)) {
                    check_whole(set);
                    CHECK(set->publication > before && set->publication == set->versions[0].version_id);
                    before = set->publication;
                    reads.fetch_add(1, std::memory_order_relaxed);
                }
                CHECK(!(ended && view.newest(0) != last));
            }
        });
    for (std::uint64_t n = 1; n <= last; ++n) {
        CHECK(publish(writer, slot, make_set(n)));
        writer.beat(monotonic_ns(), false);
    }
    done.store(true, std::memory_order_release);
    for (std::thread& reader : readers) reader.join();
    CHECK(reads.load() >= 3);
}

void a_writer_that_stopped_half_way_holds_nobody_up() {
    StoreBlockWriter writer("", 1, "", 1'000'000'000);
    const int slot = writer.slot_of("A");
    CHECK(publish(writer, slot, make_set(1)));
    StoreBlock::Slot& raw = StoreBlock::slots(writer.file().data())[0];
    StoreBlock::Buffer& next = raw.buffers[2 % StoreBlock::ring];
    next.number.store(2 * 2 - 1);
    for (std::size_t i = 0; i < 100; ++i) next.words[i].store(~0ull);  // the killed writer's debris
    const StoreBlockView view(writer);
    SetCopy set;
    CHECK(view.read(slot, set));
    check_whole(set);
    CHECK(publish(writer, slot, make_set(2)) && view.read(slot, set) && set->publication == 2);
    check_whole(set);
    Set large = make_set(3);
    large.profile.assign(StoreBlock::max_bins + 1, 1.0);
    CHECK(!publish(writer, slot, large) && view.newest(slot) == 2);
}

void staleness_fails_closed() {
    StoreBlockWriter writer("", 1, "", 50'000'000);
    const StoreBlockView view(writer);
    CHECK(view.stale(monotonic_ns()));  // never any contact
    writer.beat(monotonic_ns(), false);
    CHECK(!view.stale(monotonic_ns()));
    CHECK(view.stale(monotonic_ns() + 51'000'000));
    writer.beat(monotonic_ns(), true);
    CHECK(view.stale(monotonic_ns()));
    writer.beat(monotonic_ns(), false);
    CHECK(!view.stale(monotonic_ns()));
    writer.end();
    CHECK(view.stale(monotonic_ns()));
    VersionNumbers version;
    CHECK(std::isinf(view.calibration_age_s(version, utc_ns(), monotonic_ns())));
    version.calibrated_at = utc_ns() + 3'600'000'000'000;  // an hour from now: a wrong clock
    CHECK(std::isinf(view.calibration_age_s(version, utc_ns(), monotonic_ns())));
    version.calibrated_at = utc_ns() - 100'000'000'000;
    version.known_ns = monotonic_ns();
    const double age = view.calibration_age_s(version, utc_ns(), monotonic_ns());
    CHECK(age >= 100.0 && age < 110.0);
    // a clock set back by a day makes nothing young
    CHECK(view.calibration_age_s(version, utc_ns() - 86'400'000'000'000, monotonic_ns()) >= 99.0);
}

void a_loop_takes_sets_over_and_outlives_a_restart(const std::string& folder) {
    const std::string path = folder + "/a.db";
    auto writer = std::make_unique<StoreBlockWriter>(path + ".block", 4, std::string(32, 'a'), 200'000'000);
    CHECK(publish(*writer, writer->slot_of("A"), make_set(1)));
    writer->beat(monotonic_ns(), false);
    writer->show();
    try {
        StoreBlockWriter second(path + ".block", 4, "", 200'000'000);
        CHECK(false);
    } catch (const std::system_error& error) {
        CHECK(error.code().value() == EBUSY);
    }
    CHECK(ModelStore("sqlite:///a.db").path() == "a.db.block" && ModelStore("x.block").path() == "x.block");
    try {
        ModelStore("redis://user:secret@host");
        CHECK(false);
    } catch (const std::invalid_argument& error) {
        CHECK(std::string(error.what()).find("secret") == std::string::npos);
    }
    ModelStore store("sqlite:///" + path);
    store.initialize();
    LiveParameters live(store, "A", folder + "/applied");
    CHECK(live.stale());  // nothing taken over yet
    CHECK(live.poll() && !live.poll() && !live.stale());
    CHECK(publish(*writer, 0, make_set(2)));
    CHECK(live.poll() && live.now()->versions[0].version_id == 2);
    const ApplyView applied(folder + "/applied");
    CHECK((*applied).applied.load() == 2 && HistogramCopy::of((*applied).from_stamp).count == 1);
    CHECK((*applied).versions[3].load() == 2 && HistogramCopy::of((*applied).from_handover).max < 5'000'000'000);

    CHECK(publish(*writer, 0, make_set(1)));  // a writer whose store lost versions
    CHECK(!live.poll() && live.stale() && live.now()->versions[0].version_id == 2);
    writer.reset();
    CHECK(live.stale());

    auto other = std::make_unique<StoreBlockWriter>(path + ".block", 4, std::string(32, 'b'), 200'000'000);
    other->beat(monotonic_ns(), false);
    other->show();
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    CHECK(live.stale());  // another store: not taken
    other.reset();

    writer = std::make_unique<StoreBlockWriter>(path + ".block", 4, std::string(32, 'a'), 30'000'000'000);
    CHECK(publish(*writer, writer->slot_of("A"), make_set(3)));
    writer->beat(monotonic_ns(), false);
    writer->show();
    for (int i = 0; i < 100 && live.stale(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        live.poll();
    }
    CHECK(!live.stale() && live.now()->versions[0].version_id == 3);
    check_whole(live.now());
}

void models_survive() {
    SignalSpec spec;
    spec.kind = SignalKind::network;
    spec.scale.assign(n_features, 0.25);
    spec.bias = -3;
    spec.model_id = 0xFFFFFFFF;
    spec.layers = {{{{1, -2}, {3, 4}}, {5, -6}, 7}, {{{8, 9}}, {10}, 0}};
    Set set;
    set.numbers.versions[3].version_id = 1;
    set.numbers.model_kind = static_cast<std::int64_t>(spec.kind);
    set.numbers.bias = spec.bias;
    set.numbers.model_id = spec.model_id;
    set.model = detail::model_words(spec);
    StoreBlockWriter writer("", 1, "", 1);
    CHECK(publish(writer, writer.slot_of("A"), set));
    SetCopy copy;
    CHECK(StoreBlockView(writer).read(0, copy));
    const SignalSpec back = to_signal(copy).spec;
    CHECK(back.kind == spec.kind && back.scale == spec.scale && back.bias == -3 && back.model_id == spec.model_id);
    CHECK(back.layers.size() == 2 && back.layers[0].weights == spec.layers[0].weights);
    CHECK(back.layers[0].bias == spec.layers[0].bias && back.layers[0].shift == 7);
    set.model.resize(40);
    CHECK(publish(writer, 0, set) && StoreBlockView(writer).read(0, copy));
    try {
        to_signal(copy);
        CHECK(false);
    } catch (const std::invalid_argument&) {
    }
}

}  // namespace

int main() {
    char folder[] = "/tmp/calibrig-block-XXXXXX";
    CHECK(mkdtemp(folder) != nullptr);
    readers_see_whole_sets_that_never_go_back();
    a_writer_that_stopped_half_way_holds_nobody_up();
    staleness_fails_closed();
    a_loop_takes_sets_over_and_outlives_a_restart(folder);
    models_survive();
    CHECK(std::filesystem::is_empty(folder));  // every block took its file away
    std::filesystem::remove_all(folder);
    std::puts("ok");
}
