// A file mapped into memory: made anew by the one process that writes it, read-only for all others.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace calibrig {

class MappedFile {
   public:
    MappedFile() = default;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
    MappedFile& operator=(MappedFile&& other) noexcept {
        std::swap(base_, other.base_);
        std::swap(bytes_, other.bytes_);
        std::swap(file_, other.file_);
        std::swap(device_, other.device_);
        std::swap(inode_, other.inode_);
        std::swap(path_, other.path_);
        return *this;
    }
    ~MappedFile() {
        if (base_ != nullptr) ::munmap(base_, bytes_);
        if (file_ >= 0) ::close(file_);
    }

    // Memory of this process alone.
    static MappedFile anonymous(std::size_t bytes) {
        MappedFile made;
        made.map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, "");
        return made;
    }
    // A file of zeros, not yet at its path: `show` puts it there, in place of what a dead writer left. One writer at
    // a time: EBUSY where a living process holds the file at the path.
    static MappedFile create(const std::string& path, std::size_t bytes, mode_t mode) {
        const int held = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (held >= 0) {
            const bool free = ::flock(held, LOCK_EX | LOCK_NB) == 0;
            ::close(held);
            if (!free) throw std::system_error(EBUSY, std::generic_category(), path);
        } else if (errno != ENOENT) {
            throw std::system_error(errno, std::generic_category(), path);
        }
        MappedFile made;
        made.path_ = path;
        const std::string fresh = path + ".new-" + std::to_string(::getpid());
        ::unlink(fresh.c_str());
        made.file_ = ::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (made.file_ < 0) throw std::system_error(errno, std::generic_category(), path);
        try {
            if (::fchmod(made.file_, mode) != 0 || ::ftruncate(made.file_, static_cast<off_t>(bytes)) != 0 ||
                ::flock(made.file_, LOCK_EX | LOCK_NB) != 0)
                throw std::system_error(errno, std::generic_category(), path);
            made.map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, made.file_, path);
        } catch (...) {
            ::unlink(fresh.c_str());
            throw;
        }
        return made;
    }
    void show() {
        const std::string fresh = path_ + ".new-" + std::to_string(::getpid());
        if (::rename(fresh.c_str(), path_.c_str()) != 0) {
            const int error = errno;
            ::unlink(fresh.c_str());
            throw std::system_error(error, std::generic_category(), path_);
        }
    }
    // Takes the file away where it is still ours; the memory stays.
    void hide() noexcept {
        struct stat is{};
        if (file_ >= 0 && ::stat(path_.c_str(), &is) == 0 && is.st_ino == inode_ && is.st_dev == device_)
            ::unlink(path_.c_str());
    }

    static MappedFile open(const std::string& path) {
        MappedFile found;
        found.path_ = path;
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) throw std::system_error(errno, std::generic_category(), path);
        struct stat is{};
        const bool sized = ::fstat(file, &is) == 0 && S_ISREG(is.st_mode) && is.st_size >= 4096;
        try {
            if (!sized) throw std::system_error(EINVAL, std::generic_category(), path);
            found.map(static_cast<std::size_t>(is.st_size), PROT_READ, MAP_SHARED, file, path);
        } catch (...) {
            ::close(file);
            throw;
        }
        ::close(file);
        return found;
    }
    // Whether another file stands at the path now.
    bool replaced() const noexcept {
        struct stat is{};
        return ::stat(path_.c_str(), &is) == 0 && (is.st_ino != inode_ || is.st_dev != device_);
    }

    unsigned char* data() const noexcept { return base_; }
    std::size_t size() const noexcept { return bytes_; }
    const std::string& path() const noexcept { return path_; }

   private:
    void map(std::size_t bytes, int protection, int flags, int file, const std::string& path) {
        struct stat is{};
        if (file >= 0 && ::fstat(file, &is) == 0) {
            inode_ = is.st_ino;
            device_ = is.st_dev;
        }
        void* at = ::mmap(nullptr, bytes, protection, flags, file, 0);
        if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), path);
        base_ = static_cast<unsigned char*>(at);
        bytes_ = bytes;
    }

    unsigned char* base_ = nullptr;
    std::size_t bytes_ = 0;
    int file_ = -1;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    std::string path_;
};

}  // namespace calibrig
