/* SPDX-License-Identifier: MIT */

/*
 * Documents in C++: a text of nested objects, arrays, strings and numbers is parsed into a tree of
 * std::map, std::vector and std::string, copied, searched, written out again and dropped.
 */

#include "work.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace
{

constexpr unsigned documents = 60;
constexpr unsigned kept = 4;
constexpr unsigned depth_max = 5;

struct value {
    enum class kind { number, text, array, object };
    kind what = kind::number;
    long number = 0;
    std::string text;
    std::vector<value> items;
    std::map<std::string, std::unique_ptr<value>> members;
};

std::string make_word(work_random &random)
{
    std::string word;
    const uint32_t length = work_size(&random, 3, 60);
    for (uint32_t i = 0; i < length; i++) {
        word += static_cast<char>('a' + work_below(&random, 26));
    }
    return word;
}

void make_text(work_random &random, unsigned depth, std::string &out)
{
    const uint32_t draw = work_below(&random, 10);
    if (depth == 0 || draw < 2) {
        out += std::to_string(work_below(&random, 100000));
    } else if (draw < 4) {
        out += '"' + make_word(random) + '"';
    } else if (draw < 7) {
        out += '[';
        for (uint32_t i = work_between(&random, 1, 12); i > 0; i--) {
            make_text(random, depth - 1, out);
            out += i > 1 ? "," : "";
        }
        out += ']';
    } else {
        out += '{';
        for (uint32_t i = work_between(&random, 1, 10); i > 0; i--) {
            out += '"' + make_word(random) + "\":";
            make_text(random, depth - 1, out);
            out += i > 1 ? "," : "";
        }
        out += '}';
    }
}

std::string parse_word(const char *&at)
{
    std::string word;
    for (at++; *at != '"'; at++) {
        word += *at;
    }
    at++;
    return word;
}

value parse(const char *&at)
{
    value result;
    if (*at == '"') {
        result.what = value::kind::text;
        result.text = parse_word(at);
    } else if (*at == '[') {
        result.what = value::kind::array;
        for (at++; *at != ']'; at += *at == ',') {
            result.items.push_back(parse(at));
        }
        at++;
    } else if (*at == '{') {
        result.what = value::kind::object;
        for (at++; *at != '}'; at += *at == ',') {
            std::string key = parse_word(at);
            at++;
            result.members[std::move(key)] = std::make_unique<value>(parse(at));
        }
        at++;
    } else {
        char *end;
        result.number = std::strtol(at, &end, 10);
        at = end;
    }
    return result;
}

void write(const value &from, std::string &out)
{
    switch (from.what) {
    case value::kind::number:
        out += std::to_string(from.number);
        break;
    case value::kind::text:
        out += '"' + from.text + '"';
        break;
    case value::kind::array: {
        char separator = '[';
        for (const value &item : from.items) {
            out += separator;
            write(item, out);
            separator = ',';
        }
        out += ']';
        break;
    }
    case value::kind::object: {
        char separator = '{';
        for (const auto &[key, member] : from.members) {
            out += separator;
            out += '"' + key + "\":";
            write(*member, out);
            separator = ',';
        }
        out += '}';
        break;
    }
    }
}

/* All the strings of the document, sorted with the places that they stand at. */
void collect(const value &from, const std::string &path,
             std::multimap<std::string, std::string> &out)
{
    if (from.what == value::kind::text) {
        out.emplace(from.text, path);
    }
    for (size_t i = 0; i < from.items.size(); i++) {
        collect(from.items[i], path + "/" + std::to_string(i), out);
    }
    for (const auto &[key, member] : from.members) {
        collect(*member, path + "/" + key, out);
    }
}

uint64_t hash(const std::string &text)
{
    uint64_t sum = text.size();
    for (const char letter : text) {
        sum = sum * 31 + static_cast<unsigned char>(letter);
    }
    return sum;
}

} // namespace

int main(int argc, char **argv)
{
    work_random random = {work_mix(work_seed(argc, argv, 1))};
    std::vector<value> last(kept);
    uint64_t checksum = 0;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < documents; i++) {
        std::string text = "[";
        for (unsigned part = 0; part < 12; part++) {
            make_text(random, depth_max, text);
            text += part < 11 ? "," : "]";
        }
        const char *at = text.c_str();
        value document = parse(at);
        std::multimap<std::string, std::string> strings;
        collect(document, "", strings);
        for (const auto &[word, path] : strings) {
            checksum = work_mix(checksum + word.size() * 31 + path.size());
        }
        std::string written;
        write(document, written);
        checksum = work_mix(checksum ^ hash(written));
        bytes += text.size() + written.size();
        last[i % kept] = std::move(document);
    }
    work_report(bytes, checksum);
    return 0;
}
