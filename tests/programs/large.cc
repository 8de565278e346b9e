// SPDX-License-Identifier: MIT
// A C++ source whose templates keep a compiler busy, for tests/programs/run.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct chain {
    std::map<int, std::tuple<std::string, chain<N - 1>>> inner;
    int depth() const
    {
        return 1 + chain<N - 1>().depth();
    }
    template <typename Visitor> void visit(Visitor visitor) const
    {
        for (const auto &entry : inner) {
            visitor(std::get<0>(entry.second));
            std::get<1>(entry.second).visit(visitor);
        }
    }
};
template <> struct chain<0> {
    int depth() const
    {
        return 0;
    }
    template <typename Visitor> void visit(Visitor) const
    {
    }
};

template <std::size_t... Index> static long sum_of(std::index_sequence<Index...>)
{
    return (... + static_cast<long>(std::hash<std::string>()(std::to_string(Index)) % 97));
}

using value = std::variant<int, double, std::string, std::vector<int>, std::map<std::string, int>>;

int main()
{
    chain<12> links;
    links.inner[1] = {"one", {}};
    std::size_t letters = 0;
    links.visit([&](const std::string &text) { letters += text.size(); });
    std::regex pattern("(\\w+)@(\\w+)\\.(com|org)");
    std::string text = "write to someone@example.com or nobody@example.org";
    std::vector<value> values{1, 2.5, std::string("three"), std::vector<int>{4, 5},
                              std::map<std::string, int>{{"six", 6}}};
    std::unordered_map<std::string, std::set<std::string>> index;
    for (int i = 0; i < 20000; i++) {
        index[std::to_string(i % 1000)].insert(std::to_string(i * 7919 % 20011));
    }
    std::size_t total = 0;
    for (const auto &entry : index) {
        total += entry.second.size();
    }
    std::cout << links.depth() << ' ' << letters << ' ' << std::regex_replace(text, pattern, "$2")
              << ' ' << values.size() << ' ' << total << ' '
              << sum_of(std::make_index_sequence<200>()) << '\n';
    return 0;
}
