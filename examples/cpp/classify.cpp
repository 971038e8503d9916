// Classifies a cloud with an exported student: ONNX Runtime and a JSON reader, nothing of Python.
//
//     classify student.onnx cloud.xyz     ->  class, probability, known (or unknown), one a line
//
// What `pointstill.Classifier` does around the graph is here, step by step; the graph does the rest.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>

using Point = std::array<double, 3>;

// What the metadata of the file say of the student.
struct About {
    std::vector<std::string> classes;  // in the order of its logits
    double temperature = 1.0;          // logits are divided by it
    bool rejects = false;              // whether it has a threshold
    double threshold = 0.0;            // a cloud with a lower score is unknown
    nlohmann::json typical;            // what logits look like: see score()
    std::size_t fewest = 0;            // points that nearly every cloud of its training had
    std::string up;                    // the axis that must point up
};

About read_about(const Ort::Session& session) {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("pointstill", allocator);
    if (!text) throw std::runtime_error("is no student: export one with `pointstill export`");
    const auto entries = nlohmann::json::parse(text.get());
    if (entries.value("format", 1) > 3) throw std::runtime_error("is of a newer format than 3");
    if (entries.value("channels", 3) != 3)
        throw std::runtime_error("takes channels beside x, y and z: read them too, and give (1, n, 3 + F)");
    About about;
    about.classes = entries.at("classes").get<std::vector<std::string>>();
    about.up = entries.at("up").get<std::string>();
    about.fewest = entries.value("fewest", entries.at("points").get<std::size_t>());
    const auto calibration = entries.value("calibration", nlohmann::json::object());
    about.temperature = calibration.value("temperature", 1.0);
    const auto threshold = calibration.find("threshold");
    about.rejects = threshold != calibration.end() && !threshold->is_null();
    if (about.rejects) about.threshold = threshold->get<double>();
    about.typical = calibration.value("typical", nlohmann::json());
    return about;
}

// The first three numbers of each line; empty lines and such as begin with # are passed over.
std::vector<Point> read_cloud(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot be read");
    std::vector<Point> cloud;
    std::string line;
    for (std::size_t number = 1; std::getline(file, line); ++number) {
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#') continue;
        std::istringstream words(line);
        Point point;
        if (!(words >> point[0] >> point[1] >> point[2]))
            throw std::runtime_error("has no three numbers in line " + std::to_string(number));
        cloud.push_back(point);
    }
    if (cloud.size() < 8) throw std::runtime_error("has fewer than 8 points");
    return cloud;
}

// Near the origin, as float32 is coarse far from it: the graph centres and scales by itself, leaves
// stray points out and draws as many as the student takes. Moved in double to the first point and
// halved, so that no difference of two float32 coordinates is infinite.
std::vector<float> near_origin(const std::vector<Point>& cloud) {
    std::vector<float> numbers;
    numbers.reserve(3 * cloud.size());
    for (const Point& point : cloud)
        for (std::size_t axis = 0; axis < 3; ++axis)
            numbers.push_back(static_cast<float>((point[axis] - cloud[0][axis]) / 2));
    if (!std::all_of(numbers.begin(), numbers.end(), [](float each) { return std::isfinite(each); }))
        throw std::runtime_error("has NaN or infinite coordinates: leave those points out");
    if (std::all_of(numbers.begin(), numbers.end(), [](float each) { return each == 0.0F; }))
        throw std::runtime_error("has points that are all the same");
    return numbers;
}

std::vector<float> ask(Ort::Session& session, std::vector<float>& numbers) {
    const std::array<std::int64_t, 3> shape{1, static_cast<std::int64_t>(numbers.size() / 3), 3};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto points = Ort::Value::CreateTensor<float>(
        memory, numbers.data(), numbers.size(), shape.data(), shape.size());
    Ort::AllocatorWithDefaultOptions allocator;
    const auto output = session.GetOutputNameAllocated(0, allocator);
    const char* input_names[] = {"points"};
    const char* output_names[] = {output.get()};
    auto answer = session.Run(Ort::RunOptions{nullptr}, input_names, &points, 1, output_names, 1);
    const float* logits = answer.at(0).GetTensorData<float>();
    return {logits, logits + answer.at(0).GetTensorTypeAndShapeInfo().GetElementCount()};
}

// log sum exp of the logits over a temperature.
double log_sum_exp(const std::vector<float>& logits, double temperature) {
    const double top = *std::max_element(logits.begin(), logits.end()) / temperature;
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(logit / temperature - top);
    return top + std::log(sum);
}

// How well a cloud is known: the lower of how high its energy is, and how near its logits are to the
// mean of their class, as multiples of what is usual. Of older files it is the energy alone.
double score(const About& about, const std::vector<float>& logits) {
    const double energy = log_sum_exp(logits, 1.0);
    if (about.typical.is_null()) return energy;
    const auto rows = [&](const char* name) {
        return about.typical.at(name).get<std::vector<std::vector<double>>>();
    };
    const auto usual = [&](const char* name) {
        return about.typical.at(name).get<std::array<double, 2>>();
    };
    const auto taken = std::max_element(logits.begin(), logits.end()) - logits.begin();
    const auto mean = rows("means").at(taken);
    double distance = 0.0;
    for (const auto& row : rows("whitening")) {
        double part = 0.0;
        for (std::size_t i = 0; i < row.size(); ++i) part += row[i] * (logits[i] - mean.at(i));
        distance += part * part;
    }
    const auto level = usual("energy"), near = usual("distance");
    return std::min((energy - level[0]) / level[1], (near[0] - distance) / near[1]);
}

void print_answer(const About& about, const std::vector<float>& logits) {
    if (logits.size() != about.classes.size())
        throw std::runtime_error("gives another number of logits than it names classes");
    if (!std::all_of(logits.begin(), logits.end(), [](float each) { return std::isfinite(each); }))
        throw std::runtime_error("answers with NaN or infinite logits");
    // The score by which a cloud is known is that of temperature 1; probabilities are calibrated.
    const bool known = !about.rejects || score(about, logits) >= about.threshold;
    const double total = log_sum_exp(logits, about.temperature);
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    order.resize(std::min<std::size_t>(order.size(), 3));
    for (const std::size_t each : order)
        std::printf("%s\t%.6f\t%s\n", about.classes[each].c_str(),
                    std::exp(logits[each] / about.temperature - total), known ? "known" : "unknown");
}

int main(int count, char** words) {
    if (count != 3) {
        std::fprintf(stderr, "usage: classify student.onnx cloud.xyz\n");
        return 2;
    }
    std::string reading = words[1];
    try {
        Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "classify");
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(1);
        Ort::Session session(environment, words[1], options);
        const About about = read_about(session);
        reading = words[2];
        const std::vector<Point> cloud = read_cloud(reading);
        std::vector<float> numbers = near_origin(cloud);
        if (2 * cloud.size() < about.fewest)
            std::fprintf(stderr, "warning: %s has %zu points, fewer than half of the %zu that the "
                         "student learned from\n", words[2], cloud.size(), about.fewest);
        reading = words[1];
        print_answer(about, ask(session, numbers));
    } catch (const std::exception& error) {  // Ort::Exception and nlohmann's are such
        std::fprintf(stderr, "error: %s %s\n", reading.c_str(), error.what());
        return 1;
    }
    return 0;
}
