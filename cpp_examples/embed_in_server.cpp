// One model behind HTTP, with many threads, on cpp-httplib (https://github.com/yhirose/cpp-httplib).
//
//   embed_in_server BUNDLE [PORT]     on 127.0.0.1; without a port, or with 0, the system chooses one
//
//   GET /tails?head=Norway&relation=capital&k=3
//   GET /heads?relation=capital&tail=Oslo
//
// Answers lines "score<TAB>label", best first; 400 with a message where the query is wrong, 500 where the model fails.
// Prints its address when it is ready. SIGINT and SIGTERM end it after the requests that run.
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <httplib.h>

#include "mmkg/model.hpp"

namespace {

constexpr size_t REQUEST_THREADS = 16;

// A whole number, of which nothing else is in the text.
int whole_number(const std::string &text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) {
        throw mmkg::Error(mmkg::Fault::query, "'" + text + "' is given where a whole number is expected.");
    }
    return number;
}

std::string lines(const std::vector<mmkg::Answer> &answers) {
    std::ostringstream text;
    text << std::setprecision(std::numeric_limits<float>::max_digits10);
    for (const mmkg::Answer &answer : answers) text << answer.score << '\t' << answer.label << '\n';
    return text.str();
}

// What a function of a request gives, or the message of what it throws.
template <class Answers>
httplib::Server::Handler answer(Answers answers) {
    return [answers](const httplib::Request &request, httplib::Response &response) {
        try {
            const std::string k = request.get_param_value("k");
            response.set_content(lines(answers(request, k.empty() ? 10 : whole_number(k))), "text/plain");
        } catch (const mmkg::Error &error) {
            response.status = error.fault() == mmkg::Fault::query ? 400 : 500;
            response.set_content(std::string(error.what()) + '\n', "text/plain");
        }
    };
}

void serve(const std::string &bundle, int port) {
    mmkg::Options options;
    options.threads = 1;  // requests are the threads
    const mmkg::Model model(bundle, options);

    httplib::Server server;
    server.new_task_queue = [] { return new httplib::ThreadPool(REQUEST_THREADS); };
    server.set_payload_max_length(1 << 16);
    server.Get("/tails", answer([&](const httplib::Request &asked, int k) {
        return model.predict_tails(asked.get_param_value("head"), asked.get_param_value("relation"), k);
    }));
    server.Get("/heads", answer([&](const httplib::Request &asked, int k) {
        return model.predict_heads(asked.get_param_value("relation"), asked.get_param_value("tail"), k);
    }));

    // Signals wait for this thread; those that are started below do not see them.
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    const int bound = port ? (server.bind_to_port("127.0.0.1", port) ? port : -1) : server.bind_to_any_port("127.0.0.1");
    if (bound < 0) throw std::runtime_error("port " + std::to_string(port) + " cannot be listened on.");
    std::thread listener([&] { server.listen_after_bind(); });
    std::cout << "http://127.0.0.1:" << bound << std::endl;
    int signal = 0;
    sigwait(&ends, &signal);
    server.stop();
    listener.join();
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        std::cerr << "usage: embed_in_server BUNDLE [PORT]\n";
        return EXIT_FAILURE;
    }
    try {
        serve(argv[1], argc == 3 ? whole_number(argv[2]) : 0);
    } catch (const std::exception &error) {
        std::cerr << "embed_in_server: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
